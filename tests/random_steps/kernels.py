"""Layers with kernels."""

from keras import layers

from tests.random_steps.bench import ACTIVATIONS, LONGEST, WIDEST, WIDTHS, at_rank, image_layer, step


@step
def dense(x, other, pick):
    return layers.Dense(pick(*WIDTHS), activation=pick(*ACTIVATIONS), use_bias=pick(True, False))(x)


@step
def conv(x, other, pick):
    x = at_rank(x, max(len(x.shape), 3))
    kind = image_layer("Conv{}D", x)
    width, kernel, padding = pick(*WIDTHS), pick(3, 1, 2), pick("same", "valid")
    if padding == "valid" and min(x.shape[1:-1]) < kernel:
        return None
    shifts = pick({}, {"strides": 2}, {"dilation_rate": 2})
    if padding == "valid" and "dilation_rate" in shifts:
        shifts = {}
    return kind(width, kernel, padding=padding, activation=pick(*ACTIVATIONS), use_bias=pick(True, False), **shifts)(x)


@step
def grouped_conv(x, other, pick):
    x = at_rank(x, 3 if len(x.shape) < 4 else 4)
    kind, width = image_layer("Conv{}D", x), x.shape[-1]
    groups = pick(*[n for n in range(2, width + 1) if width % n == 0] or [1])
    return kind(groups * pick(1, 2), pick(1, 3), padding="same", groups=groups, activation=pick(*ACTIVATIONS[:4]))(x)


@step
def depthwise(x, other, pick):
    x = at_rank(x, 3 if len(x.shape) < 4 else 4)
    kind, multiplier = image_layer("DepthwiseConv{}D", x), pick(1, 2)
    if x.shape[-1] * multiplier > WIDEST:
        return None
    options = {"strides": pick(1, 2), "depth_multiplier": multiplier, "use_bias": pick(True, False)}
    return kind(pick(3, 2), padding="same", activation=pick(*ACTIVATIONS[:4]), **options)(x)


@step
def separable(x, other, pick):
    x = at_rank(x, 3 if len(x.shape) < 4 else 4)
    kind = image_layer("SeparableConv{}D", x)
    return kind(pick(*WIDTHS), 2, padding="same", depth_multiplier=pick(1, 2), activation=pick(*ACTIVATIONS[:4]))(x)


@step
def transposed(x, other, pick):
    x = at_rank(x, max(len(x.shape), 3))
    kind = image_layer("Conv{}DTranspose", x)
    strides = pick(1, 2) if 2 * max(x.shape[1:-1]) <= LONGEST else 1
    return kind(pick(*WIDTHS), 2, strides=strides, padding="same", use_bias=pick(True, False))(x)


@step
def channels_first(x, other, pick):
    x = layers.Permute((3, 1, 2))(at_rank(x, 4))
    # Keras on TensorFlow adds a bias along the columns where there are as many as filters.
    x = layers.Conv2D(pick(*WIDTHS), pick(3, 1), padding="same", data_format="channels_first", use_bias=False)(x)
    if pick(True, False):
        x = layers.BatchNormalization(axis=1)(x)
    x = layers.ReLU()(x)
    if min(x.shape[2:]) > 1 and pick(True, False):
        x = layers.AveragePooling2D(2, data_format="channels_first")(x)
    if pick(True, False):
        return layers.Permute((2, 3, 1))(x)
    return layers.Flatten(data_format=pick("channels_first", "channels_last"))(x)


@step
def einsum(x, other, pick):
    letters = "abcdef"[: len(x.shape)]
    width, last = pick(*WIDTHS), letters[-1]
    equations = [
        (f"{letters},{last}y->{letters[:-1]}y", (*x.shape[1:-1], width), "y"),
        (f"{letters},{letters[1:]}y->ay", width, "y"),
    ]
    if len(x.shape) < 4:
        # Of several axes that an ellipsis stands for, Keras turns the order round.
        equations.append((f"...{last},{last}y->...y", width, "y"))
        equations.append((f"{letters},{last}yz->{letters[:-1]}yz", (*x.shape[1:-1], 2, width), pick("yz", "z", "y")))
    equation, shape, bias = pick(*equations)
    return layers.EinsumDense(equation, shape, bias_axes=pick(bias, None), activation=pick(*ACTIVATIONS[:4]))(x)


@step
def spectral(x, other, pick):
    kind = image_layer("Conv{}D", x) if len(x.shape) == 4 else None
    inner = kind(pick(*WIDTHS), 3, padding="same") if kind else layers.Dense(pick(*WIDTHS))
    return layers.SpectralNormalization(inner)(x)
