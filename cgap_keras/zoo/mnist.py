"""A convolutional network for MNIST that spends its parameters on depth."""

import keras
from keras import layers

from cgap_keras.zoo.blocks import check_input_shape, classifier, conv_bn_relu, scaled

_CHANNELS = (16, 16, 20, 20, 24, 24)


def mnist_cnn(input_shape=(28, 28, 1), num_classes=10, width=1.0, name="mnist_cnn"):
    """Six unpadded 3 x 3 convolutions of 16 to 24 filters: 18,922 parameters, 2.18 M MACs.

    Each convolution has batch normalisation and ReLU; max pooling lies after the second, global average pooling after
    the last, so that no dense layer eats the budget. Made for this project, to see how small a network for MNIST can
    get: at half its width it has 4,894 parameters.

    Args:
        input_shape: Height, width and channels; height and width at least 22 pixels.
        num_classes: Number of logits.
        width: The share of the units to build; `zoo.SEED_WIDTH` makes a seed.
        name: Name of the model.

    Returns:
        A `keras.Model` that maps images to logits.

    Raises:
        ValueError: If `input_shape` or `width` does not fit.

    Example:

    ```python
    seed = mnist_cnn(width=SEED_WIDTH)  # 4, 4, 5, 5, 6 and 6 filters
    ```
    """
    check_input_shape(input_shape, "mnist_cnn", smallest=22)
    inputs = keras.Input(input_shape, name="image")
    x = inputs
    for number, filters in enumerate(_CHANNELS, start=1):
        x = conv_bn_relu(x, scaled(filters, width), f"conv{number}", padding="valid")
        if number == 2:
            x = layers.MaxPooling2D(name="pool")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, classifier(x, num_classes), name=name)
