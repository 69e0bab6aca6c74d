"""Sums of products: every axis of every operand has a letter, as in `einsum`."""

import string

import numpy as np
from keras import layers
from keras.src.ops import numpy as knp

from cgap_keras.structure.labelling import refuse
from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.merging import merge, operands_of
from cgap_keras.structure.tracer import fixed_labels, varies


@rule(knp.Einsum)
def einsum(call, labels, tracer):
    """The letters are the user's."""
    operands = operands_of(call, labels)
    inputs, output = _equation(call.operation.subscripts, [len(shape) for _, shape in operands])
    if any(len(set(letters)) < len(letters) for letters in (*inputs, output)):
        return refuse(call, labels, tracer, "takes a diagonal of it.")
    return [_contract(call, operands, inputs, output, tracer)]


@rule(knp.Matmul)
def matmul(call, labels, tracer):
    """Rows of one tensor meet columns of another; the axes before them are broadcast."""
    operands = operands_of(call, labels)
    left, right = (len(shape) for _, shape in operands)
    batch = string.ascii_uppercase[: max(left, right, 2) - 2]
    rows, columns = "i" * (left > 1), "j" * (right > 1)
    inputs = [_last(batch, left - 2) + rows + "k", _last(batch, right - 2) + "k" + columns]
    return [_contract(call, operands, inputs, batch + rows + columns, tracer)]


@rule(knp.Tensordot)
def tensordot(call, labels, tracer):
    """Some axes of one tensor meet some of another."""
    operands, axes = operands_of(call, labels), call.operation.axes
    left, right = (len(shape) for _, shape in operands)
    axes = (range(left - axes, left), range(axes)) if isinstance(axes, int) else axes
    places = [
        [int(axis) % rank for axis in np.atleast_1d(some)] for some, rank in zip(axes, (left, right), strict=True)
    ]
    return [_meet(call, operands, places, tracer)]


@rule(layers.Dot)
def dot(call, labels, tracer):
    """One axis of a tensor meets one of another, in every example apart."""
    axes = call.operation.axes
    pair = (axes, axes) if isinstance(axes, int) else axes
    operands = operands_of(call, labels)
    places = [axis % len(shape) for axis, (_, shape) in zip(pair, operands, strict=True)]
    met = _meet(call, operands, [[place] for place in places], tracer, batch=1)
    return [met.reshape(met.shape + (1,) * (len(call.outputs[0].shape) - met.ndim))]


def _meet(call, operands, places, tracer, batch=0):
    """Sums over the axes of two operands at some places, in order; the first `batch` axes they share."""
    inputs = []
    for alphabet, (_, shape), summed in zip(
        (string.ascii_lowercase, string.ascii_uppercase), operands, places, strict=True
    ):
        letters = list(string.digits[:batch] + alphabet[: len(shape) - batch])
        for number, place in enumerate(summed):
            letters[place] = str(batch + number)
        inputs.append("".join(letters))
    shared = string.digits[:batch]
    rest = "".join(letter for letter in "".join(inputs) if not letter.isdigit())
    return _contract(call, operands, inputs, shared + rest, tracer)


def _contract(call, operands, inputs, output, tracer):
    """The labels of a sum of products.

    Along a letter that is summed over, the units of the operands meet one to one, and their copies would count twice.
    Along the others the operands are multiplied with broadcasting.

    Args:
        call: The call.
        operands: `(labels, shape)` pairs.
        inputs: The letters of each operand's axes, a list of strings.
        output: The letters that are kept, in order.
        tracer: The `Tracer`.
    """
    operands = list(zip(inputs, *zip(*operands, strict=True), strict=True))
    summed = sorted(set("".join(inputs)) - set(output))
    for letter in summed:
        _sum_over(call, letter, [x for x in operands if letter in x[0]], tracer)
    kept = []
    for letters, labels, shape in operands:
        axes = {letter: axis for axis, letter in enumerate(letters)}
        if any(varies(labels, shape, axes[letter]) for letter in summed if letter in axes):
            labels = fixed_labels(labels.ndim)
        # The axes that are kept, in the order of the output, before those of size 1 that are summed over.
        order = [axes[letter] for letter in (*output, *summed) if letter in axes]
        sizes = [labels.shape[axes[letter]] if letter in axes else 1 for letter in output]
        shape = tuple(shape[axes[letter]] if letter in axes else 1 for letter in output)
        kept.append((labels.transpose(order).reshape(sizes), shape))
    return merge(call, kept, tracer)


def _sum_over(call, letter, operands, tracer):
    """Ties the units that meet along a letter that is summed over."""
    if not any(varies(labels, shape, letters.index(letter)) for letters, labels, shape in operands):
        return
    if len(operands) == 1:
        tracer.units.freeze(operands[0][1], f"`{call.path}` adds up its units; use a layer with weights.")
        return
    reason = f"`{call.path}` multiplies it with something of fixed width."
    rows = []
    for letters, labels, shape in operands:
        axis = letters.index(letter)
        rows.append(tracer.along(labels, axis, shape[axis], reason))
        tracer.tie(rows[0], rows[-1], reason)
    tracer.units.mark_inexact(rows[0])


def _equation(subscripts, ranks):
    """The letters of the inputs and of the output, with letters of their own for the axes of an ellipsis."""
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    spare = [letter for letter in string.ascii_letters if letter not in subscripts]
    extra = [rank - len(letters.replace("...", "")) for letters, rank in zip(inputs, ranks, strict=True)]
    dots = "".join(spare[: max(extra)])
    if not arrow:
        once = sorted(x for x in set(left) - set(",.") if left.count(x) == 1)
        output = "..." * ("..." in left) + "".join(once)
    inputs = [x.replace("...", _last(dots, count)) for x, count in zip(inputs, extra, strict=True)]
    return inputs, output.replace("...", dots)


def _last(letters, count):
    return letters[len(letters) - max(count, 0) :]
