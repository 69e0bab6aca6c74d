"""ResNet for images of 32 x 32 pixels, with basic blocks."""

import keras
from keras import layers

from cgap_keras.zoo.blocks import check_input_shape, classifier, conv_bn, conv_bn_relu, scaled

_STAGE_CHANNELS = (16, 32, 64)


def resnet20(input_shape=(32, 32, 3), num_classes=10, width=1.0, name="resnet20"):
    """ResNet-20: 0.27 M parameters, 40.8 M MACs. See `resnet56`."""
    return _resnet(20, input_shape, num_classes, width, name)


def resnet32(input_shape=(32, 32, 3), num_classes=10, width=1.0, name="resnet32"):
    """ResNet-32: 0.47 M parameters, 69.1 M MACs. See `resnet56`."""
    return _resnet(32, input_shape, num_classes, width, name)


def resnet44(input_shape=(32, 32, 3), num_classes=10, width=1.0, name="resnet44"):
    """ResNet-44: 0.66 M parameters, 97.4 M MACs. See `resnet56`."""
    return _resnet(44, input_shape, num_classes, width, name)


def resnet56(input_shape=(32, 32, 3), num_classes=10, width=1.0, name="resnet56"):
    """ResNet-56: 0.86 M parameters, 125.7 M MACs.

    One 3 x 3 convolution, then three stages of nine basic blocks (two 3 x 3 convolutions and a shortcut) with 16, 32
    and 64 channels; the second and third stage halve the image. Source: He et al., "Deep Residual Learning for Image
    Recognition", 2016, section 4.2.

    Where the width changes, the shortcut is a 1 x 1 convolution with batch normalisation (option B of the paper). Its
    networks for CIFAR pad with zero channels instead (option A), which ties the widths of the stages to each other, so
    that they could not be resized one by one. The projections add 2,752 parameters and 0.26 M MACs: 0.3 % of the
    0.853 M parameters and 0.2 % of the 125.5 M MACs published for ResNet-56.

    Args:
        input_shape: Height, width and channels; height and width at least 4 pixels.
        num_classes: Number of logits.
        width: The share of the units to build; `zoo.SEED_WIDTH` makes a seed.
        name: Name of the model.

    Returns:
        A `keras.Model` that maps images to logits.

    Raises:
        ValueError: If `input_shape` or `width` does not fit.

    Example:

    ```python
    dense = resnet56()
    seed = resnet56(width=SEED_WIDTH)  # 4, 8 and 16 channels
    ```
    """
    return _resnet(56, input_shape, num_classes, width, name)


def resnet110(input_shape=(32, 32, 3), num_classes=10, width=1.0, name="resnet110"):
    """ResNet-110: 1.73 M parameters, 253.1 M MACs. See `resnet56`."""
    return _resnet(110, input_shape, num_classes, width, name)


def _resnet(depth, input_shape, num_classes, width, name):
    check_input_shape(input_shape, "ResNet", smallest=4)
    inputs = keras.Input(input_shape, name="image")
    x = conv_bn_relu(inputs, scaled(_STAGE_CHANNELS[0], width), "stem")
    blocks = (depth - 2) // 6
    for stage, channels in enumerate(_STAGE_CHANNELS, start=1):
        for block in range(1, blocks + 1):
            widens = stage > 1 and block == 1
            x = _basic_block(x, scaled(channels, width), widens, f"stage{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, classifier(x, num_classes), name=name)


def _basic_block(x, channels, widens, name):
    strides = 2 if widens else 1
    shortcut = conv_bn(x, channels, f"{name}_shortcut", kernel_size=1, strides=strides) if widens else x
    x = conv_bn_relu(x, channels, f"{name}_conv1", strides=strides)
    x = conv_bn(x, channels, f"{name}_conv2")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)
