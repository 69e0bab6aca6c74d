"""VGG with batch normalisation, in the form for images of 32 x 32 pixels."""

import keras
from keras import layers

from cgap_keras.zoo.blocks import check_input_shape, classifier, conv_bn_relu, scaled

_STAGE_CHANNELS = (64, 128, 256, 512, 512)


def vgg11(input_shape=(32, 32, 3), num_classes=10, width=1.0, hidden=0, name="vgg11"):
    """VGG-11 with batch normalisation: 9.23 M parameters, 152.8 M MACs. See `vgg16`."""
    return _vgg((1, 1, 2, 2, 2), input_shape, num_classes, width, hidden, name)


def vgg13(input_shape=(32, 32, 3), num_classes=10, width=1.0, hidden=0, name="vgg13"):
    """VGG-13 with batch normalisation: 9.41 M parameters, 228.3 M MACs. See `vgg16`."""
    return _vgg((2, 2, 2, 2, 2), input_shape, num_classes, width, hidden, name)


def vgg16(input_shape=(32, 32, 3), num_classes=10, width=1.0, hidden=512, name="vgg16"):
    """VGG-16 with batch normalisation: 14.99 M parameters, 313.5 M MACs.

    Five stages of 3 x 3 convolutions (64, 128, 256, 512, 512 channels), each ended by 2 x 2 max pooling, then the
    classifier. Source of the stages: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", 2015. The classifier differs between the networks that the published pruning figures are for: VGG-16
    (14.98 M) has a hidden layer of 512 neurons, as in Li et al., "Pruning Filters for Efficient ConvNets", 2017; VGG-19
    (20.04 M) has none, as in Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", 2017.
    The defaults of `hidden` follow them.

    Args:
        input_shape: Height, width and channels; height and width at least 32 pixels.
        num_classes: Number of logits.
        width: The share of the units to build; `zoo.SEED_WIDTH` makes a seed.
        hidden: Neurons of the hidden dense layer (with batch normalisation) at full width; 0 for none.
        name: Name of the model.

    Returns:
        A `keras.Model` that maps images to logits.

    Raises:
        ValueError: If `input_shape` or `width` does not fit.

    Example:

    ```python
    dense = vgg16(num_classes=10)
    seed = vgg16(num_classes=10, width=SEED_WIDTH)
    ```
    """
    return _vgg((2, 2, 3, 3, 3), input_shape, num_classes, width, hidden, name)


def vgg19(input_shape=(32, 32, 3), num_classes=10, width=1.0, hidden=0, name="vgg19"):
    """VGG-19 with batch normalisation: 20.04 M parameters, 398.1 M MACs. See `vgg16`."""
    return _vgg((2, 2, 4, 4, 4), input_shape, num_classes, width, hidden, name)


def _vgg(convolutions, input_shape, num_classes, width, hidden, name):
    check_input_shape(input_shape, "VGG", smallest=32)
    inputs = keras.Input(input_shape, name="image")
    x = inputs
    for stage, (count, channels) in enumerate(zip(convolutions, _STAGE_CHANNELS, strict=True), start=1):
        for number in range(1, count + 1):
            x = conv_bn_relu(x, scaled(channels, width), f"stage{stage}_conv{number}")
        x = layers.MaxPooling2D(name=f"stage{stage}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    if hidden:
        x = layers.Dense(scaled(hidden, width), use_bias=False, kernel_initializer="he_normal", name="hidden")(x)
        x = layers.BatchNormalization(name="hidden_bn")(x)
        x = layers.ReLU(name="hidden_relu")(x)
    return keras.Model(inputs, classifier(x, num_classes), name=name)
