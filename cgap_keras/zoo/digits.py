"""A convolutional network for very small images, to try things out in seconds."""

import keras
from keras import layers

from cgap_keras.zoo.blocks import check_input_shape, classifier, conv_bn_relu, scaled


def digits_cnn(input_shape=(8, 8, 1), num_classes=10, width=1.0, name="digits_cnn"):
    """Three convolutions of 32, 64 and 128 filters for the 8 x 8 digits: 0.11 M parameters, 2.40 M MACs.

    Each convolution has batch normalisation and ReLU; one max pooling lies after the second, and the classifier reads
    the flattened maps. An example's network, made for this project: it holds what an edit of widths has to get right (a
    normalisation that follows a convolution, a dense layer with several rows for each channel) and trains in a few
    seconds.

    Args:
        input_shape: Height, width and channels; height and width at least 2 pixels.
        num_classes: Number of logits.
        width: The share of the units to build; `zoo.SEED_WIDTH` makes a seed.
        name: Name of the model.

    Returns:
        A `keras.Model` that maps images to logits.

    Raises:
        ValueError: If `input_shape` or `width` does not fit.

    Example:

    ```python
    seed = digits_cnn(width=SEED_WIDTH)  # 8, 16 and 32 filters
    ```
    """
    check_input_shape(input_shape, "digits_cnn", smallest=2)
    inputs = keras.Input(input_shape, name="image")
    x = conv_bn_relu(inputs, scaled(32, width), "conv1")
    x = conv_bn_relu(x, scaled(64, width), "conv2")
    x = layers.MaxPooling2D(name="pool")(x)
    x = conv_bn_relu(x, scaled(128, width), "conv3")
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, classifier(x, num_classes), name=name)
