"""Layers that lay the same elements out anew."""

import math

import numpy as np
from keras import layers

from cgap_keras.structure.registry import rule


@rule(layers.Flatten)
def flatten(call, labels, tracer):
    """All axes but the batch become one: do to the labels what the layer does to the data."""
    shape = call.inputs[0].shape
    perm = list(range(len(shape)))
    if call.operation.data_format == "channels_first" and len(shape) > 1:
        perm = [0, *perm[2:], 1]
    labels, shape = labels[0].transpose(perm), [shape[axis] for axis in perm]
    if all(size == 1 for size in labels.shape):
        return [labels.reshape(1, 1)]
    if None in shape[1:]:
        tracer.units.freeze(
            labels, f"`{call.path}` flattens an axis of unknown size; give the model's input a full shape."
        )
        return [np.broadcast_to(labels.ravel()[:1], (1, 1))]
    return [np.broadcast_to(labels, (1, *shape[1:])).reshape(1, math.prod(shape[1:]))]


@rule(layers.Reshape)
def reshape(call, labels, tracer):
    """The elements of an example stay in order; the new shape in the configuration follows the widths."""
    shape, target = call.inputs[0].shape, call.outputs[0].shape
    moved = reshape_labels(call, labels[0], shape, target, tracer)
    template = shape_template(moved, target)[1:]
    given = call.operation.target_shape
    tracer.size(call, "target_shape", tuple(-1 if a == -1 else b for a, b in zip(given, template, strict=True)))
    return [moved]


@rule(layers.Permute)
def permute(call, labels, tracer):
    """The axes change places."""
    return [labels[0].transpose(0, *call.operation.dims)]


@rule(layers.RepeatVector)
def repeat_vector(call, labels, tracer):
    """A new axis, along which everything is the same."""
    return [labels[0][:, np.newaxis]]


def reshape_labels(call, labels, shape, target, tracer):
    """The labels of a tensor of one shape, laid out as another. The batch axis comes first in both.

    Axes that stay as they are keep their labels; where axes are merged or split, the labels are written out, and a
    split of a row of units into a table asks for tables that stay rectangular, so that whole columns or rows are tied.
    """
    if labels.size == 1:
        tracer.units.freeze(labels, f"`{call.path}` lays out its one unit anew; build the layer with two.")
        return labels.reshape((1,) * len(target))
    if None in shape[1:] or None in target[1:]:
        if _same_but_units(shape, target, labels):
            return labels.reshape((1,) * (len(target) - 1) + (-1,))
        tracer.units.freeze(
            labels, f"`{call.path}` reshapes an axis of unknown size; give the model's input a full shape."
        )
        return np.full((1,) * len(target), -1)
    full = np.broadcast_to(labels, (1, *shape[1:])).reshape((1, *target[1:]))
    for axis in range(1, full.ndim):
        if np.all(full == np.take(full, [0], axis)):
            full = np.take(full, [0], axis)
    return _keep_rectangular(call, full, tracer)


def shape_template(labels, shape):
    """A shape with the units in the place of every size that an edit changes."""
    return tuple(size if labels.shape[axis] == 1 else _vector_along(labels, axis) for axis, size in enumerate(shape))


def _same_but_units(shape, target, labels):
    """Whether only the axes before the last are rearranged and the units lie along the last."""
    return shape[-1] == target[-1] and labels.shape[-1] == labels.size


def _keep_rectangular(call, labels, tracer):
    """Where units vary along two axes, ties them along the first, so that only the second can change its size."""
    varying = [axis for axis, size in enumerate(labels.shape) if size > 1]
    for axis in varying[:-1]:
        first = np.take(labels, [0], axis)
        tracer.tie(first, labels, f"`{call.path}` lays it out beside something of fixed width.")
        labels = first
    return labels


def _vector_along(labels, axis):
    return np.moveaxis(labels, axis, 0).reshape(labels.shape[axis], -1)[:, 0]
