"""A small network of depthwise separable convolutions."""

import keras
from keras import layers

from cgap_keras.zoo.blocks import check_input_shape, classifier, conv_bn_relu, scaled

# Channels and stride of each block.
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))


def mobilenet(input_shape=(32, 32, 3), num_classes=10, width=1.0, name="mobilenet"):
    """A shortened MobileNet for images of 32 x 32 pixels: 0.54 M parameters, 22.9 M MACs.

    A 3 x 3 convolution, then seven blocks of a depthwise 3 x 3 and a pointwise 1 x 1 convolution, each with batch
    normalisation and ReLU. Source of the block and of the width multiplier: Howard et al., "MobileNets: Efficient
    Convolutional Neural Networks for Mobile Vision Applications", 2017. Their network has thirteen blocks and starts by
    halving the image, which small images do not bear.

    Args:
        input_shape: Height, width and channels; height and width at least 8 pixels.
        num_classes: Number of logits.
        width: The share of the units to build; `zoo.SEED_WIDTH` makes a seed.
        name: Name of the model.

    Returns:
        A `keras.Model` that maps images to logits.

    Raises:
        ValueError: If `input_shape` or `width` does not fit.

    Example:

    ```python
    seed = mobilenet(width=SEED_WIDTH)
    ```
    """
    check_input_shape(input_shape, "MobileNet", smallest=8)
    inputs = keras.Input(input_shape, name="image")
    x = conv_bn_relu(inputs, scaled(32, width), "stem")
    for number, (channels, strides) in enumerate(_BLOCKS, start=1):
        x = _depthwise_bn_relu(x, strides, f"block{number}_depthwise")
        x = conv_bn_relu(x, scaled(channels, width), f"block{number}_pointwise", kernel_size=1)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, classifier(x, num_classes), name=name)


def _depthwise_bn_relu(x, strides, name):
    x = layers.DepthwiseConv2D(
        3, strides, padding="same", use_bias=False, depthwise_initializer="he_normal", name=name
    )(x)
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
