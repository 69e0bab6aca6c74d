"""Attention."""

import keras
import numpy as np
from keras import layers

from cgap_keras.structure.registry import rule
from cgap_keras.structure.tracer import fixed_labels, spread


@rule(layers.MultiHeadAttention)
def multi_head_attention(call, labels, tracer):
    """Heads are one group and the value width another; queries and keys keep theirs, which scales the scores.

    A head is a slice of the query, key and value kernels (features, heads, width) that the output kernel (heads, width,
    features) reads linearly; so is a value feature, in every head alike. Both can be pruned, and grown exactly (on JAX
    the heads alone).
    """
    layer = call.operation
    query, value, key = (*labels, labels[1])[:3] if len(labels) < 3 else labels[:3]
    sizes = [edge.shape[-1] for edge in call.inputs]
    reason = f"`{call.path}` sees it at some places of its input and something of fixed width at others."
    parts = [("_query_dense", query, sizes[0]), ("_key_dense", key, sizes[-1] if len(labels) > 2 else sizes[1])]
    parts.append(("_value_dense", value, sizes[1]))
    if getattr(layer, "_use_gate", False):
        return _freeze_all(call, labels, tracer, "has a gate")
    heads = tracer.units_of(layer._query_dense._kernel, 1)
    tracer.size(call, "num_heads", heads)
    for name, incoming, size in parts:
        dense = getattr(layer, name)
        tracer.consume(call, dense._kernel, 0, tracer.along(incoming, incoming.ndim - 1, size, reason))
        tracer.produce(call, dense._kernel, 1, labels=heads)
        tracer.carry(call, dense.bias, 0, heads)
    values = tracer.produce(call, layer._value_dense._kernel, 2, key="value_dim")
    tracer.carry(call, layer._value_dense.bias, 1, values)
    if keras.backend.backend() == "jax":
        tracer.units.freeze(values, f"JAX computes the attention of `{call.path}` for values as wide as keys alone.")
    output = layer._output_dense
    tracer.consume(call, output._kernel, 0, heads)
    tracer.consume(call, output._kernel, 1, values)
    return _attended(call, layer, labels, output, tracer)


def _attended(call, layer, labels, output, tracer):
    """The output, as wide as the query unless the layer says otherwise."""
    rank = len(call.outputs[0].shape)
    units = tracer.produce(call, output._kernel, -1)
    tracer.carry(call, output.bias, -1, units)
    if layer._output_shape:
        if len(layer._output_shape) > 1:
            return _freeze_all(call, labels, tracer, "has an output of several axes")
        tracer.size(call, "output_shape", (units,))
    else:
        query = tracer.along(labels[0], labels[0].ndim - 1, len(units), "")
        tracer.tie(query, units, f"`{call.path}` returns what is as wide as its query, which has a fixed width.")
    scores = [fixed_labels(len(edge.shape)) for edge in call.outputs[1:]]
    return [spread(units, rank - 1, rank), *scores]


def _freeze_all(call, labels, tracer, why):
    for x in (*labels, *(axis.labels for axis in list(tracer.axes.values()) if axis.layer == call.path)):
        tracer.units.freeze(np.asarray(x), f"`{call.path}` {why}, which no rule describes.")
    return [fixed_labels(len(edge.shape)) for edge in call.outputs]


@rule(layers.Attention, layers.AdditiveAttention)
def attention(call, labels, tracer):
    """Scores compare queries and keys feature by feature; the output is a mean of values."""
    layer, rank = call.operation, len(call.outputs[0].shape)
    query, value = labels[0], labels[1]
    key = labels[2] if len(labels) > 2 else value
    size, reason = call.inputs[0].shape[-1], f"`{call.path}` compares it with something of fixed width."
    queries, keys = (tracer.along(x, x.ndim - 1, size, reason) for x in (query, key))
    tracer.tie(queries, keys, reason)
    # A sum over features counts copies twice.
    tracer.units.mark_inexact(queries)
    for variable in layer.weights:
        if len(variable.shape):
            tracer.carry(call, variable, 0, queries)
        else:
            tracer.bound.add(id(variable))
    values = tracer.along(value, value.ndim - 1, call.inputs[1].shape[-1], reason)
    return [spread(values, rank - 1, rank), *[fixed_labels(len(edge.shape)) for edge in call.outputs[1:]]]
