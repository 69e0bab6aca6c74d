"""Einsum-dense and embedding layers."""

import keras
import numpy as np
from keras import layers

from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.elementwise import apply_activation
from cgap_keras.structure.tracer import fixed_labels, spread, varies


@rule(layers.Embedding)
def embedding(call, labels, tracer):
    """A table of shape (tokens, width) makes units along its second axis."""
    rank = len(call.outputs[0].shape)
    tracer.units.freeze(labels[0], f"`{call.path}` looks tokens up by it.")
    return [spread(tracer.produce(call, call.operation._embeddings, 1, key="output_dim"), rank - 1, rank)]


@rule(layers.ReversibleEmbedding)
def reversible_embedding(call, labels, tracer):
    """An embedding that, called in reverse, reads its units and makes a score for each token."""
    layer = call.operation
    units = tracer.produce(call, layer._embeddings, 1, key="output_dim")
    separate = getattr(layer, "reverse_embeddings", None)
    tracer.consume(call, separate, 0, units)
    if not call.arguments.get("reverse"):
        return embedding(call, labels, tracer)
    reason = f"`{call.path}` reads it by the table that it looks tokens up in."
    incoming = tracer.along(labels[0], labels[0].ndim - 1, len(units), reason)
    tracer.tie(incoming, units, reason)
    if separate is None:
        # One table makes the units and reads them, and so cannot share its weights out among copies.
        tracer.units.mark_inexact(units)
    return [fixed_labels(len(call.outputs[0].shape))]


@rule(layers.EinsumDense)
def einsum_dense(call, labels, tracer):
    """Letters that input and kernel share are read, letters that kernel and output share are made.

    An element of the output belongs to one unit, so of several letters that are made the last makes the units and the
    others keep their size. A letter in all three gives each place of the input a kernel of its own; that is not edited.
    """
    layer = call.operation
    inputs, kernel, outputs = _letters(layer.equation, len(call.inputs[0].shape))
    read = [letter for letter in kernel if letter in inputs]
    made = [letter for letter in outputs[1:] if letter in kernel and letter not in inputs]
    shape = call.inputs[0].shape
    varied = [letter for axis, letter in enumerate(inputs) if varies(labels[0], shape, axis)]
    if set(read) & set(outputs) or not set(varied) <= set(read) or len(varied) > 1 or not made:
        tracer.units.freeze(
            labels[0], f"`{call.path}` reads it by the equation {layer.equation!r}; a Dense layer would free it."
        )
        tracer.bound.update(id(variable) for variable in layer.weights)
        return [fixed_labels(len(outputs))]
    for letter in read:
        axis = inputs.index(letter)
        incoming = tracer.along(labels[0], axis, shape[axis], "") if letter in varied else fixed_labels(1)
        tracer.consume(call, layer._kernel, kernel.index(letter), np.broadcast_to(incoming, (shape[axis],)))
    position = outputs.index(made[-1])
    units = tracer.produce(call, layer._kernel, kernel.index(made[-1]))
    _carry_bias(call, outputs, made[-1], units, tracer)
    sizes = list(layer.partial_output_shape)
    sizes[position - len(outputs)] = units
    tracer.size(call, "output_shape", tuple(sizes))
    return [apply_activation(call, spread(units, position, len(outputs)), tracer)]


def _carry_bias(call, outputs, letter, units, tracer):
    """The bias has the output's axes from its first letter on, of size 1 where it does not change."""
    layer = call.operation
    if layer.bias is None:
        return
    first = min(outputs.index(x) for x in layer.bias_axes)
    if letter in layer.bias_axes:
        tracer.carry(call, layer.bias, outputs.index(letter) - first, units)
    else:
        tracer.bound.add(id(layer.bias))
    if keras.backend.backend() == "tensorflow" and outputs[-1] not in layer.bias_axes:
        # `keras.ops.add` takes whatever can be squeezed to a vector of the last axis's size for a bias of that axis.
        tracer.units.freeze(
            units,
            f"Keras on TensorFlow adds the bias of `{call.path}` along the last axis at widths that agree with it; add "
            f"{outputs[-1]!r} to `bias_axes`.",
        )


def _letters(equation, rank):
    """The letters of input, kernel and output, with letters of their own for the axes of an ellipsis."""
    left, outputs = equation.replace(" ", "").split("->")
    inputs, kernel = left.split(",")
    spare = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in equation]
    dots = "".join(spare[: rank - len(inputs.replace("...", ""))])
    return inputs.replace("...", dots), kernel, outputs.replace("...", dots)
