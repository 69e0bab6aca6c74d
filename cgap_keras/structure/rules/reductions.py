"""Operations of `keras.ops` along whole axes: sums and means, running sums, softmax, normalisation."""

import numpy as np
from keras.src.ops import linalg, math, nn
from keras.src.ops import numpy as knp

from cgap_keras.structure.labelling import refuse
from cgap_keras.structure.layout import FIXED
from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.convolution import tie_blocks
from cgap_keras.structure.rules.elementwise import freeze_along
from cgap_keras.structure.rules.merging import merge, operands_of
from cgap_keras.structure.rules.operations import named
from cgap_keras.structure.tracer import fixed_labels, varies

REDUCTIONS = (
    "All Amax Amin Any Argmax Argmin Average CountNonzero Max Mean Median Min Nanmax Nanmean Nanmedian Nanmin Nanprod "
    "Nanstd Nansum Nanvar Prod Ptp Std Sum Var"
)
ALONG = "Argsort Cumprod Cumsum Diff Nancumprod Nancumsum Roll Sort"


@rule(*named(knp, REDUCTIONS), math.Logsumexp, linalg.Norm, nn.Moments)
def reduction(call, labels, tracer):
    """Some axes become one number; units along such an axis would count alike, copies and all."""
    operation, x = call.operation, labels[0]
    kind, axes = type(operation).__name__, _axes(operation, x.ndim)
    if any((other != FIXED).any() for other in labels[1:]):
        return refuse(call, labels, tracer, "weighs places by units.")
    if any(varies(x, call.inputs[0].shape, axis) for axis in axes):
        if kind != "Any":  # Copies of a unit do not change whether any is true, which is what a mask asks.
            tracer.units.freeze(
                x, f"`{call.path}` ({kind}) reduces the axis along which its units lie; use a layer with weights."
            )
        x = fixed_labels(x.ndim)
    for axis in axes:
        x = np.take(x, [0], axis)
    return [x if getattr(operation, "keepdims", False) else np.squeeze(x, tuple(axes))] * len(call.outputs)


@rule(*named(knp, ALONG), *named(nn, "Softmax LogSoftmax Sparsemax"))
def along_an_axis(call, labels, tracer):
    """What stands along an axis is mixed."""
    if call.operation.axis is None:
        return refuse(call, labels, tracer, "reads it as one row; name an axis.")
    axes = _axes(call.operation, labels[0].ndim)
    freeze_along(call, axes, labels[0], tracer, f"takes {type(call.operation).__name__} over it")
    return [labels[0]]


@rule(nn.Normalize, nn.RMSNorm, nn.LayerNorm)
def normalization(call, labels, tracer):
    """Every element is divided by what whole axes hold, which copies change; a scale and an offset lie along them."""
    x, axes, operands = labels[0], _axes(call.operation, labels[0].ndim), operands_of(call, labels)
    if any(varies(x, call.inputs[0].shape, axis) for axis in axes):
        tracer.units.mark_inexact(x)
    if len(operands) > 1 and list(axes) != [x.ndim - 1]:
        return refuse(call, labels, tracer, "scales it along another axis than the last; use a layer.")
    return [merge(call, operands, tracer)]


@rule(nn.Glu)
def gated_linear_unit(call, labels, tracer):
    """One half of an axis is multiplied by a sigmoid of the other, so the halves stay equal."""
    x, axis = labels[0], call.operation.axis % labels[0].ndim
    if not varies(x, call.inputs[0].shape, axis):
        return [x]
    for row in np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1).T:
        tie_blocks(call, row, 2, tracer)
    return [np.split(x, 2, axis)[0]]


def _axes(operation, rank):
    """The axes that an operation works along, all of them if it names none."""
    given = getattr(operation, "axes", None) if hasattr(operation, "axes") else operation.axis
    return range(rank) if given is None else [int(axis) % rank for axis in np.atleast_1d(given)]
