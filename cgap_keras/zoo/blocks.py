"""What the networks of the zoo have in common: scaled widths and the convolution unit."""

from keras import layers

# A quarter of the units, about a sixteenth of the parameters: small enough that growth has room, large enough to be
# trained.
SEED_WIDTH = 0.25


def scaled(channels, width):
    """The width of a layer that has `channels` units in the full network, never less than one unit.

    Args:
        channels: Units of the full network.
        width: The share of them to keep, greater than 0; 1.0 is the full network, `SEED_WIDTH` the seed.

    Returns:
        An integer.

    Raises:
        ValueError: If `width` is not a positive number.
    """
    if isinstance(width, bool) or not isinstance(width, (int, float)) or not width > 0:
        raise ValueError(
            "`width` must be a positive number: 1.0 builds the full network, `zoo.SEED_WIDTH` a seed to grow from. "
            f"Received: width={width!r}"
        )
    return max(1, round(channels * width))


def check_input_shape(input_shape, network, smallest):
    """Refuses an input that is not `(height, width, channels)`, or that the network's pooling would shrink to nothing.

    Args:
        input_shape: The shape of one image, the batch axis left out.
        network: The network's name, for the message.
        smallest: The smallest height and width that the network takes, in pixels.

    Raises:
        ValueError: If the shape does not fit.
    """
    shape = tuple(input_shape)
    if len(shape) != 3 or any(not isinstance(size, int) or size < 1 for size in shape) or min(shape[:2]) < smallest:
        raise ValueError(
            f"`input_shape` of {network} must be (height, width, channels), height and width at least {smallest}. "
            f"Received: input_shape={input_shape}"
        )


def conv_bn_relu(x, channels, name, kernel_size=3, strides=1, padding="same"):
    """A convolution that keeps the size (divided by the stride) unless it is not padded, batch normalisation, ReLU.

    The convolution has no bias: the normalisation's offset takes its place.
    """
    x = conv_bn(x, channels, name, kernel_size, strides, padding)
    return layers.ReLU(name=f"{name}_relu")(x)


def conv_bn(x, channels, name, kernel_size=3, strides=1, padding="same"):
    """A convolution and batch normalisation, to be followed by a sum or an activation."""
    x = layers.Conv2D(
        channels, kernel_size, strides, padding=padding, use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def classifier(x, num_classes):
    """The last layer: one logit a class, no softmax."""
    return layers.Dense(num_classes, name="logits")(x)
