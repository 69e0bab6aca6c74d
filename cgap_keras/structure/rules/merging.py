"""Layers that take several tensors."""

import numpy as np
from keras import layers

from cgap_keras.structure.graph import edges_among
from cgap_keras.structure.layout import FIXED
from cgap_keras.structure.registry import rule
from cgap_keras.structure.tracer import fixed_labels, varies


@rule(layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum)
def elementwise_merge(call, labels, tracer):
    """Elements meet one to one, so the units they belong to are tied together."""
    return [merge(call, [(x, edge.shape) for x, edge in zip(labels, call.inputs, strict=True)], tracer)]


@rule(layers.Concatenate)
def concatenate(call, labels, tracer):
    """Elements stand side by side and keep their units."""
    axis = call.operation.axis % len(call.inputs[0].shape)
    sizes = [edge.shape[axis] for edge in call.inputs]
    of_units = any(varies(x, edge.shape, axis) for x, edge in zip(labels, call.inputs, strict=True))
    if axis == 0 or None in sizes or not of_units:
        return [join(call, labels, tracer)]
    _tie_beside(call, labels, axis, tracer)
    sized = [np.broadcast_to(x, _with_size(x.shape, axis, size)) for x, size in zip(labels, sizes, strict=True)]
    others = np.broadcast_shapes(*[_with_size(x.shape, axis, 1) for x in sized])
    return [np.concatenate([np.broadcast_to(x, _with_size(others, axis, x.shape[axis])) for x in sized], axis)]


def _tie_beside(call, labels, axis, tracer):
    """Ties units along the other axes than the one of the concatenation: there all tensors have one size."""
    rows = []
    for x, edge in zip(labels, call.inputs, strict=True):
        row = np.take(x, [0], axis)
        along = x.shape[axis] > 1 or edge.shape[axis] == 1
        rows.append(fixed_labels(x.ndim) if row.size == 1 and along else row)
    for row in rows[1:]:
        tracer.tie(rows[0], row, f"`{call.path}` puts it beside something of fixed width.")


def join(call, labels, tracer):
    """Labels of tensors beside each other along an axis without units: one stands for every place of every tensor."""
    joined = labels[0]
    for other in labels[1:]:
        tracer.tie(joined, other, f"`{call.path}` puts it beside something of fixed width.")
        joined, other = np.broadcast_arrays(joined, other)
        joined = np.where(joined == FIXED, other, joined)
    return joined


def operands_of(call, labels):
    """The `(labels, shape)` of every operand of an operation in order: tensors of the graph, numbers and arrays."""
    known = {edge.key: x for edge, x in zip(call.inputs, labels, strict=True)}
    operands = []
    for value in (*call.args, *call.kwargs.values()):
        edges = edges_among(value)
        operands += [(known[edge.key], edge.shape) for edge in edges]
        if not edges and value is not None:
            operands.append((fixed_labels(np.ndim(value)), tuple(np.shape(value))))
    return operands


def merge(call, operands, tracer):
    """The labels of what elementwise arithmetic with broadcasting makes of some `(labels, shape)` operands."""
    rank = max(len(shape) for _, shape in operands)
    # A number goes with any width.
    tensors = [(x, shape) for x, shape in operands if set(shape) - {1} or np.any(x != FIXED)]
    if not tensors:
        return fixed_labels(rank)
    padded = [(x.reshape(_pad_left(x.shape, rank, 1)), _pad_left(shape, rank, 1)) for x, shape in tensors]
    merged, merged_shape = padded[0]
    for other, shape in padded[1:]:
        merged, merged_shape = _merge(call, merged, merged_shape, other, shape, tracer)
    return merged


def _merge(call, left, left_shape, right, right_shape, tracer):
    """Ties two operands, of which one may be repeated along axes where it has size 1."""
    shape = tuple(b if a == 1 else a for a, b in zip(left_shape, right_shape, strict=True))
    left_alone, right_alone = _repeated_over_units(left_shape, right), _repeated_over_units(right_shape, left)
    for labels, alone in ((left, left_alone), (right, right_alone)):
        if alone:
            tracer.units.freeze(labels, f"`{call.path}` repeats it over all channels of another tensor.")
    if left_alone and right_alone:
        return fixed_labels(len(shape)), shape
    if left_alone or right_alone:
        return (right if left_alone else left), shape
    tracer.tie(left, right, f"`{call.path}` combines it with something of fixed width.")
    left, right = np.broadcast_arrays(left, right)
    return np.where(left == FIXED, right, left), shape


def _repeated_over_units(shape, other):
    """Whether an operand has size 1 along an axis in which the labels of the other change: it has to keep that size."""
    return any(size == 1 and labels != 1 for size, labels in zip(shape, other.shape, strict=True))


def _pad_left(shape, rank, value):
    return (value,) * (rank - len(shape)) + tuple(shape)


def _with_size(shape, axis, size):
    return (*shape[:axis], size, *shape[axis + 1 :])
