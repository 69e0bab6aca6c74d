"""Layers and activations that treat every element apart."""

import keras
import numpy as np
from keras import activations, layers

from cgap_keras.structure.labelling import refuse
from cgap_keras.structure.layout import FIXED
from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.reshaping import shape_template
from cgap_keras.structure.tracer import varies

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
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.RandomBrightness,
)
def elementwise(call, labels, tracer):
    """Every element stays with its unit."""
    return [labels[0]]


@rule(layers.Dropout, layers.AlphaDropout)
def dropout(call, labels, tracer):
    """Every element stays with its unit; the shape of the noise may hold the widths."""
    noise = call.operation.noise_shape
    if noise is not None:
        template = shape_template(labels[0], call.inputs[0].shape)
        sizes = tuple(x if x in (None, 1) else size for x, size in zip(noise, template, strict=True))
        tracer.size(call, "noise_shape", sizes)
    return [labels[0]]


@rule(layers.Masking)
def masking(call, labels, tracer):
    """Steps at which all features have one value are hidden from the layers behind; copies change none."""
    if np.ndim(call.operation.mask_value):
        tracer.units.freeze(labels[0], f"`{call.path}` compares it with values of fixed width; use one for all.")
    return [labels[0]]


@rule(layers.PReLU)
def parametric_relu(call, labels, tracer):
    """A slope for every place of the input, but for the axes that share one."""
    alpha, shape = call.operation.alpha, call.inputs[0].shape
    own = [axis for axis in range(1, len(shape)) if axis not in (call.operation.shared_axes or ())]
    along = [axis for axis in own if varies(labels[0], shape, axis) and alpha.shape[axis - 1] == shape[axis]]
    if labels[0].size == 1 and len(along) > 1:
        tracer.units.freeze(
            labels[0],
            f"its one unit may lie along any of several axes of `{call.path}`; build the layer that makes it with two.",
        )
    for axis in range(1, len(shape)):
        units = np.full(alpha.shape[axis - 1], FIXED)
        if axis in along:
            reason = f"`{call.path}` sees it at some places of its input and something of fixed width at others."
            units = tracer.along(labels[0], axis, shape[axis], reason)
        tracer.carry(call, alpha, axis - 1, units)
    return [labels[0]]


@rule(layers.Softmax)
def softmax(call, labels, tracer):
    """Every element is divided by a sum along an axis."""
    freeze_along(call, np.atleast_1d(call.operation.axis), labels[0], tracer, "takes a softmax over it")
    return [labels[0]]


def freeze_along(call, axes, labels, tracer, what):
    """Freezes the units of a call's input if they lie along one of some axes, because their number would count."""
    if any(varies(labels, call.inputs[0].shape, axis) for axis in axes):
        tracer.units.freeze(labels, f"`{call.path}` {what}, to which every unit contributes.")


@rule(layers.Rescaling)
def rescaling(call, labels, tracer):
    """Every element is scaled by one number, or by one of a fixed list for its channel."""
    if any(getattr(value, "__len__", None) for value in (call.operation.scale, call.operation.offset)):
        tracer.units.freeze(
            labels[0], f"`{call.path}` has a number for each channel in its configuration; use one for all."
        )
    return [labels[0]]


@rule(layers.Lambda)
def function_of_the_users(call, labels, tracer):
    """Nothing is known of what the function does."""
    return refuse(call, labels, tracer, "runs a function of your own; make it a layer, and register a rule for that.")


@rule(layers.Activation)
def activation(call, labels, tracer):
    """As the activation function does."""
    return [apply_activation(call, labels[0], tracer)]


def apply_activation(call, labels, tracer):
    """The labels after the layer's activation function."""
    freeze_unless_elementwise(call, call.operation.activation, labels, tracer)
    return labels


def freeze_unless_elementwise(call, function, labels, tracer):
    """Freezes what a function reads that is not known to treat every element apart: a softmax, one of the user's."""
    if function is not None and function not in ELEMENTWISE_ACTIVATIONS:
        name = getattr(function, "__name__", None) or type(function).__name__
        tracer.units.freeze(
            labels,
            f"the activation `{name}` of `{call.path}` may mix channels; use an elementwise one such as "
            f"`{keras.activations.relu.__name__}` here.",
        )
