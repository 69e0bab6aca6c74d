"""Operations of `keras.ops` that lay the same elements out anew."""

import math

import numpy as np
from keras.src.ops import core, nn
from keras.src.ops import numpy as knp

from cgap_keras.structure.graph import edges_among
from cgap_keras.structure.labelling import refuse
from cgap_keras.structure.layout import FIXED
from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.convolution import read_channels, spread_channels, tie_blocks
from cgap_keras.structure.rules.merging import concatenate, join
from cgap_keras.structure.rules.reshaping import reshape_labels, shape_template
from cgap_keras.structure.tracer import fixed_labels, varies

rule(knp.Concatenate)(concatenate)


@rule(knp.Stack)
def stack(call, labels, tracer):
    """Tensors of one shape, side by side along a new axis."""
    return [np.expand_dims(join(call, labels, tracer), call.operation.axis % len(call.outputs[0].shape))]


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
    given = call.operation.newshape
    given = given if isinstance(given, (list, tuple)) else (given,)
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
    """New axes of size 1, from which the one of a single unit cannot be told."""
    axis = call.operation.axis
    if labels[0].size == 1:
        tracer.units.freeze(labels[0], f"`{call.path}` adds an axis beside its one unit; build the layer with two.")
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


@rule(knp.Pad)
def pad(call, labels, tracer):
    """Places of no unit around the tensor."""
    operation, x, shape = call.operation, labels[0], call.inputs[0].shape
    widths = operation._process_pad_width(operation.pad_width)
    if operation.mode != "constant" and any(any(w) and varies(x, shape, axis) for axis, w in enumerate(widths)):
        return refuse(call, labels, tracer, "pads the axis along which its units lie with units.")
    return [
        np.pad(x, [w if varies(x, shape, axis) else (0, 0) for axis, w in enumerate(widths)], constant_values=FIXED)
    ]


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
        if varies(x, call.inputs[0].shape, axis) and item != slice(None):
            tracer.units.freeze(x, f"`{call.path}` takes fixed places of the axis along which its units lie.")
        constant = slice(None) if isinstance(item, slice) else 0
        taken.append(constant if x.shape[axis] == 1 else item)
        axis += 1
    if not all(item is None or isinstance(item, (int, slice)) for item in keys):
        tracer.units.freeze(x, f"`{call.path}` picks places by an array.")
        return [fixed_labels(len(call.outputs[0].shape))]
    return [x[tuple(taken)]]


@rule(knp.Take)
def take(call, labels, tracer):
    """Places along an axis, picked by an array. Along the axis of units they would be fixed."""
    x, axis, indices = labels[0], call.operation.axis, call.arguments["indices"]
    if axis is None or varies(x, call.inputs[0].shape, axis) or len(labels) > 1:
        return refuse(call, labels, tracer, "picks places by an array; do so along an axis without units.")
    axis, rank = axis % x.ndim, len(indices.shape) if edges_among(indices) else np.ndim(indices)
    return [x.reshape((*x.shape[:axis], *(1,) * rank, *x.shape[axis + 1 :]))]


@rule(knp.Tile)
def tile(call, labels, tracer):
    """The whole tensor again and again along some axes."""
    repeats = np.atleast_1d(call.operation.repeats).tolist()
    rank = max(len(repeats), labels[0].ndim)
    x, shape = _pad_left(labels[0], call.inputs[0].shape, rank)
    counts = [1] * (rank - len(repeats)) + repeats
    return [np.tile(x, [count if varies(x, shape, axis) else 1 for axis, count in enumerate(counts)])]


@rule(knp.Repeat)
def repeat(call, labels, tracer):
    """Every place of an axis several times in a row."""
    x, axis, repeats = labels[0], call.operation.axis, np.atleast_1d(call.operation.repeats)
    if axis is not None and not varies(x, call.inputs[0].shape, axis):
        return [x]
    if axis is None or len(repeats) > 1:
        return refuse(call, labels, tracer, "repeats it unevenly, or as one row; repeat every unit equally often.")
    return [np.repeat(x, repeats[0], axis)]


@rule(knp.BroadcastTo)
def broadcast_to(call, labels, tracer):
    """Repeated along axes of size 1; the shape that the operation holds follows the widths."""
    target = call.outputs[0].shape
    x, shape = _pad_left(labels[0], call.inputs[0].shape, len(target))
    if any(old != new and varies(x, shape, axis) for axis, (old, new) in enumerate(zip(shape, target, strict=True))):
        return refuse(call, labels, tracer, "repeats its one unit along an axis.")
    tracer.size(call, "shape", shape_template(x, target))
    return [x]


@rule(core.Unstack)
def unstack(call, labels, tracer):
    """The places of an axis as tensors of their own."""
    axis = call.operation.axis
    if varies(labels[0], call.inputs[0].shape, axis):
        return refuse(call, labels, tracer, "makes a tensor of each unit; use `split` into equal pieces.")
    return [np.squeeze(labels[0], axis)] * len(call.outputs)


@rule(nn.DepthToSpace)
def depth_to_space(call, labels, tracer):
    """Equal blocks of channels become places of the image."""
    channels = read_channels(call, labels[0], tracer)
    return [spread_channels(call, tie_blocks(call, channels, call.operation.block_size**2, tracer))]


@rule(nn.SpaceToDepth)
def space_to_depth(call, labels, tracer):
    """Places of the image become equal blocks of channels."""
    return [spread_channels(call, np.tile(read_channels(call, labels[0], tracer), call.operation.block_size**2))]


def _pad_left(labels, shape, rank):
    """Labels and shape with axes of size 1 in front, as broadcasting does."""
    ones = (1,) * (rank - labels.ndim)
    return labels.reshape(ones + labels.shape), ones + tuple(shape)
