"""`keras.ops` called on symbolic tensors, which put bare operations into a functional graph."""

import math

import numpy as np
from keras.src.ops import core, nn
from keras.src.ops import numpy as knp

from cgap_keras.structure.graph import Edge
from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.convolution import tie_blocks
from cgap_keras.structure.rules.merging import concatenate, merge
from cgap_keras.structure.rules.reshaping import reshape_labels, shape_template
from cgap_keras.structure.rules.spatial import per_channel
from cgap_keras.structure.tracer import fixed_labels

UNARY = (
    "Absolute Ceil Clip Copy Cos Cosh Exp Exp2 Expm1 Floor Log Log10 Log1p Log2 Negative Reciprocal Round Sign "
    "Sin Sinh "
    "Sqrt Square Tan Tanh Trunc"
)
UNARY_NN = (
    "Celu Elu Gelu HardShrink HardSigmoid HardSilu HardTanh LeakyRelu LogSigmoid Relu Relu6 Selu Sigmoid Silu "
    "SoftShrink "
    "Softplus Softsign SparsePlus SparseSigmoid Squareplus TanhShrink Threshold"
)
BINARY = "Add Subtract Multiply Divide TrueDivide Maximum Minimum Power Mod FloorDivide Logaddexp Hypot Where"
REDUCTIONS = "Mean Sum Max Min Amax Amin Prod Var Std Median Any All"


def _named(module, names):
    return [getattr(module, name) for name in names.split() if hasattr(module, name)]


@rule(*_named(knp, UNARY), *_named(nn, UNARY_NN), core.Cast, core.StopGradient)
def unary(call, labels, tracer):
    """Every element stays with its unit."""
    return [labels[0]]


@rule(*_named(knp, BINARY))
def binary(call, labels, tracer):
    """Elements of tensors, numbers and arrays meet one to one, with broadcasting."""
    known = {edge.key: x for edge, x in zip(call.inputs, labels, strict=True)}
    operands = []
    for value in (*call.args, *call.kwargs.values()):
        if isinstance(value, Edge):
            operands.append((known[value.key], value.shape))
        elif value is not None:
            shape = tuple(np.shape(value))
            operands.append((fixed_labels(len(shape)), shape))
    return [merge(call, operands, tracer)]


rule(knp.Concatenate)(concatenate)
rule(nn.MaxPool, nn.AveragePool)(per_channel)


@rule(knp.Stack)
def stack(call, labels, tracer):
    """Tensors side by side along a new axis."""
    axis = call.operation.axis % len(call.outputs[0].shape)
    return [np.stack(np.broadcast_arrays(*labels), axis)]


@rule(knp.Split)
def split(call, labels, tracer):
    """Pieces of an axis. Equal pieces stay equal: an edit takes the same units from each."""
    operation, x = call.operation, labels[0]
    axis, parts = operation.axis % x.ndim, operation.indices_or_sections
    if x.shape[axis] == 1:
        return [x] * len(call.outputs)
    if not isinstance(parts, int):
        tracer.units.freeze(x, f"`{call.path}` cuts it at fixed places; cut it into equal pieces, by their number.")
    else:
        for row in np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1).T:
            tie_blocks(call, row, parts, tracer)
    return np.split(x, parts, axis)


@rule(knp.Reshape)
def reshape(call, labels, tracer):
    """The elements stay in order; the new shape that the operation holds follows the widths."""
    shape, target = call.inputs[0].shape, call.outputs[0].shape
    same_batch = shape[:1] == target[:1] and (None in shape[1:] or math.prod(shape[1:]) == math.prod(target[1:]))
    if not same_batch:
        tracer.units.freeze(labels[0], f"`{call.path}` reshapes it together with the batch axis.")
        return [fixed_labels(len(target))]
    moved = reshape_labels(call, labels[0], shape, target, tracer)
    template = shape_template(moved, target)
    if any(size is not None and not isinstance(size, int) for size in template):
        given = call.operation.newshape
        tracer.size(call, "newshape", tuple(-1 if a in (-1, None) else b for a, b in zip(given, template, strict=True)))
    return [moved]


@rule(knp.Transpose)
def transpose(call, labels, tracer):
    """The axes change places."""
    return [np.transpose(labels[0], call.operation.axes)]


@rule(knp.Swapaxes)
def swapaxes(call, labels, tracer):
    """Two axes change places."""
    return [np.swapaxes(labels[0], call.operation.axis1, call.operation.axis2)]


@rule(knp.Moveaxis)
def moveaxis(call, labels, tracer):
    """Axes move to other places."""
    return [np.moveaxis(labels[0], call.operation.source, call.operation.destination)]


@rule(knp.ExpandDims)
def expand_dims(call, labels, tracer):
    """New axes of size 1."""
    axis = call.operation.axis
    return [np.expand_dims(labels[0], tuple(axis) if isinstance(axis, (list, tuple)) else axis)]


@rule(knp.Squeeze)
def squeeze(call, labels, tracer):
    """Axes of size 1 go, and with them the right of a unit along one to have siblings."""
    axis, shape = call.operation.axis, call.inputs[0].shape
    axes = [i for i, size in enumerate(shape) if size == 1] if axis is None else np.atleast_1d(axis) % len(shape)
    if labels[0].size == 1:
        tracer.units.freeze(labels[0], f"`{call.path}` takes away the axis along which it is alone.")
    return [np.squeeze(labels[0], tuple(int(i) for i in axes))]


@rule(knp.Flip)
def flip(call, labels, tracer):
    """The order along some axes is turned round."""
    return [np.flip(labels[0], call.operation.axis)]


@rule(*_named(knp, REDUCTIONS))
def reduction(call, labels, tracer):
    """Some axes become one number; units along such an axis would count alike, copies and all."""
    operation, x = call.operation, labels[0]
    axes = range(x.ndim) if operation.axis is None else [int(axis) % x.ndim for axis in np.atleast_1d(operation.axis)]
    if any(x.shape[axis] > 1 for axis in axes):
        kind = type(operation).__name__
        tracer.units.freeze(
            x, f"`{call.path}` ({kind}) reduces the axis along which its units lie; use a layer with weights."
        )
    for axis in axes:
        x = np.take(x, [0], axis)
    return [x if operation.keepdims else np.squeeze(x, tuple(axes))]


@rule(nn.Softmax, nn.LogSoftmax)
def softmax(call, labels, tracer):
    """Every element is divided by a sum along an axis."""
    if any(labels[0].shape[axis] > 1 for axis in np.atleast_1d(call.operation.axis)):
        tracer.units.freeze(labels[0], f"`{call.path}` takes a softmax over it, to which every unit contributes.")
    return [labels[0]]


@rule(knp.Pad)
def pad(call, labels, tracer):
    """Constant places around the tensor."""
    for axis, widths in enumerate(call.operation._process_pad_width(call.operation.pad_width)):
        if labels[0].shape[axis] > 1 and any(widths):
            tracer.units.freeze(labels[0], f"`{call.path}` pads the axis along which its units lie.")
    return [labels[0]]


@rule(knp.GetItem)
def get_item(call, labels, tracer):
    """A slice. Along the axis of units it has to take everything, or they cannot change their number."""
    x, key = labels[0], call.args[1] if len(call.args) > 1 else call.kwargs["key"]
    keys = list(key) if isinstance(key, tuple) else [key]
    named = sum(item is not None and item is not Ellipsis for item in keys)
    if Ellipsis not in keys:
        keys.append(Ellipsis)
    place = keys.index(Ellipsis)
    keys[place : place + 1] = [slice(None)] * (x.ndim - named)
    axis, taken = 0, []
    for item in keys:
        if item is None:
            taken.append(None)
            continue
        if x.shape[axis] > 1 and item != slice(None):
            tracer.units.freeze(x, f"`{call.path}` takes fixed places of the axis along which its units lie.")
        constant = slice(None) if isinstance(item, slice) else 0
        taken.append(constant if x.shape[axis] == 1 else item)
        axis += 1
    if not all(item is None or isinstance(item, (int, slice)) for item in keys):
        tracer.units.freeze(x, f"`{call.path}` picks places by an array.")
        return [fixed_labels(len(call.outputs[0].shape))]
    return [x[tuple(taken)]]


@rule(knp.Matmul)
def matmul(call, labels, tracer):
    """Rows of one tensor meet columns of another; products are added up along the axis in between."""
    rank = len(call.outputs[0].shape)
    left, right = labels
    if left.ndim < 2 or right.ndim < 2:
        for x in labels:
            tracer.units.freeze(x, f"`{call.path}` multiplies it with a vector.")
        return [fixed_labels(rank)]
    if left.shape[-1] > 1 or right.shape[-2] > 1:
        size = call.inputs[0].shape[-1]
        reason = f"`{call.path}` multiplies it with something of fixed width."
        along = [tracer.along(x, axis, size, reason) for x, axis in ((left, left.ndim - 1), (right, right.ndim - 2))]
        tracer.tie(*along, reason)
        tracer.units.mark_inexact(along[0])
        return [fixed_labels(rank)]
    rows, columns = left[..., :1], right[..., :1, :]
    if rows.size > 1 and columns.size > 1:
        for x in labels:
            tracer.units.freeze(x, f"`{call.path}` multiplies units with units.")
        return [fixed_labels(rank)]
    kept = rows if rows.size > 1 or columns.max() < 0 else columns
    return [kept.reshape((1,) * (rank - kept.ndim) + kept.shape)]
