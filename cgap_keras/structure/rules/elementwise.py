"""Layers and activations that treat every element apart."""

import keras
from keras import activations, layers

from cgap_keras.structure.registry import rule

ELEMENTWISE_ACTIVATIONS = frozenset(
    getattr(activations, name)
    for name in (
        "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid "
        "mish relu "
        "relu6 selu sigmoid silu soft_shrink softplus softsign sparse_plus sparse_sigmoid squareplus tanh "
        "tanh_shrink threshold"
    ).split()
)


@rule(
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.Identity,
    layers.ActivityRegularization,
    layers.Dropout,
    layers.AlphaDropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
)
def elementwise(call, labels, tracer):
    """Every element stays with its unit."""
    return [labels[0]]


@rule(layers.PReLU)
def parametric_relu(call, labels, tracer):
    """A slope for every place of the input, but for the axes that share one."""
    alpha = call.operation.alpha
    for axis in range(1, len(call.inputs[0].shape)):
        size = alpha.shape[axis - 1]
        if labels[0].shape[axis] > 1 and size > 1:
            reason = f"`{call.path}` sees it at some places of its input and something of fixed width at others."
            tracer.carry(call, alpha, axis - 1, tracer.along(labels[0], axis, size, reason))
    tracer.bound.add(id(alpha))
    return [labels[0]]


@rule(layers.Softmax)
def softmax(call, labels, tracer):
    """Every element is divided by a sum along an axis."""
    axes = call.operation.axis if isinstance(call.operation.axis, (list, tuple)) else [call.operation.axis]
    if any(labels[0].shape[axis] > 1 for axis in axes):
        tracer.units.freeze(labels[0], f"`{call.path}` takes a softmax over it, to which every unit contributes.")
    return [labels[0]]


@rule(layers.Rescaling)
def rescaling(call, labels, tracer):
    """Every element is scaled by one number, or by one of a fixed list for its channel."""
    if any(getattr(value, "__len__", None) for value in (call.operation.scale, call.operation.offset)):
        tracer.units.freeze(
            labels[0], f"`{call.path}` has a number for each channel in its configuration; use one for all."
        )
    return [labels[0]]


@rule(layers.Activation)
def activation(call, labels, tracer):
    """As the activation function does."""
    return [apply_activation(call, labels[0], tracer)]


def apply_activation(call, labels, tracer):
    """The labels after the layer's activation function.

    A function that is not known to treat every element apart (softmax, a function of the user's) freezes what it reads.
    """
    function = call.operation.activation
    if function is not None and function not in ELEMENTWISE_ACTIVATIONS:
        name = getattr(function, "__name__", None) or type(function).__name__
        tracer.units.freeze(
            labels,
            f"the activation `{name}` of `{call.path}` may mix channels; use an elementwise one such as "
            f"`{keras.activations.relu.__name__}` here.",
        )
    return labels
