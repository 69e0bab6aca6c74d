"""What the steps have in common: their table, the sizes to stay within, and how a tensor is made to fit another.

A step takes a tensor, another tensor and a `Pick`, and returns a tensor, a list of tensors, or `None` if it does not
fit. Sizes stay small, so that a model runs in a moment.
"""

import math

from keras import layers

STEPS = {}
WIDEST, LARGEST, LONGEST = 12, 96, 8
WIDTHS = (4, 3, 6, 2, 5, 1)
ACTIVATIONS = (None, "relu", "tanh", "sigmoid", "gelu", "softplus", "elu", "silu", "leaky_relu", "softmax")


class Pick:
    """Reads options from one number; of 0 it reads the first of each."""

    def __init__(self, number):
        self._number = number

    def __call__(self, *options):
        self._number, place = divmod(self._number, len(options))
        return options[place]


def step(function):
    """Enters a function in the table of steps."""
    function.reads_both = False
    STEPS[function.__name__] = function
    return function


def step_of_two(function):
    """Enters a function that reads its second tensor as well."""
    step(function).reads_both = True
    return function


def image_layer(name, x):
    """A layer class for the rank of a tensor, `Conv2D` for images."""
    return getattr(layers, name.format(len(x.shape) - 2), None) if len(x.shape) > 2 else None


def vector_of(x):
    """The tensor as one vector an example."""
    return x if len(x.shape) == 2 else image_layer("GlobalAveragePooling{}D", x)()(x)


def fit(x, shape):
    """The tensor brought to a shape; what fits already stays."""
    places = tuple(shape[1:-1])
    if tuple(x.shape[1:-1]) != places:
        x = vector_of(x)
        if len(places) == 1:
            x = layers.RepeatVector(*places)(x)
        elif places:
            x = layers.Reshape((*(1 for _ in places), x.shape[-1]))(x)
            x = image_layer("UpSampling{}D", x)(places)(x)
    return x if x.shape[-1] == shape[-1] else layers.Dense(shape[-1])(x)


def at_rank(x, rank):
    """The tensor with so many axes."""
    if len(x.shape) == rank:
        return x
    if rank == 3 and 3 < len(x.shape) and math.prod(x.shape[1:-1]) <= 4 * LONGEST:
        return layers.Reshape((-1, x.shape[-1]))(x)
    return fit(x, (None, *[3] * (rank - 2), x.shape[-1]))


def classify(x, pick):
    """An output of the model."""
    kind = pick("pooled", "flat", "max", "pooled", "flat", "raw")
    if kind == "raw":
        return layers.Activation("linear")(x)
    if kind == "flat" and math.prod(x.shape[1:]) <= 4 * LARGEST:
        x = layers.Flatten()(x)
    elif kind == "max" and len(x.shape) > 2:
        x = image_layer("GlobalMaxPooling{}D", x)()(x)
    return layers.Dense(2)(vector_of(x))
