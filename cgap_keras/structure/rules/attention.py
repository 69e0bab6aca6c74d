"""Attention."""

import keras
import numpy as np
from keras import layers

from cgap_keras.structure.labelling import refuse
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
    if len(layer._output_shape or ()) > 1:
        return refuse(call, labels, tracer, "has an output of several axes; give it an `output_shape` of one.")
    heads = tracer.units_of(layer._query_dense._kernel, 1)
    tracer.size(call, "num_heads", heads)
    values = tracer.units_of(layer._value_dense._kernel, 2)
    tracer.size(call, "value_dim", values)
    _project(call, labels, tracer, heads, heads, values)
    if keras.backend.backend() == "jax":
        tracer.units.freeze(values, f"JAX computes the attention of `{call.path}` for values as wide as keys alone.")
    return _attended(call, labels, tracer, heads, layer._output_shape)


@rule(layers.GroupQueryAttention)
def group_query_attention(call, labels, tracer):
    """A head of keys and values, with the heads of queries that share it, is a unit; the width of a head is fixed."""
    layer = call.operation
    shared = tracer.units_of(layer._key_dense._kernel, 1)
    heads = np.repeat(shared, layer.num_repeats)
    tracer.size(call, "num_key_value_heads", shared)
    tracer.size(call, "num_query_heads", heads)
    query, value = (tracer.along(x, x.ndim - 1, call.inputs[0].shape[-1]) for x in labels[:2])
    tracer.tie(query, value, f"`{call.path}` takes a query and a value of one width.")
    _project(call, labels, tracer, heads, shared, None)
    return _attended(call, labels, tracer, heads, None)


def _project(call, labels, tracer, heads, shared, values):
    """Binds the kernels into the heads, and the axes of the output kernel that read them.

    Args:
        call: The call.
        labels: The labels of query and value, and of the key where it is another tensor than the value.
        tracer: The `Tracer`.
        heads: The unit of each head of queries.
        shared: The unit of each head of keys and values.
        values: The unit of each feature of a value, or `None` where they keep their number.
    """
    layer, inputs = call.operation, list(zip(labels, call.inputs, strict=True))
    query, value, key = (*inputs, inputs[1])[:3]
    reason = f"`{call.path}` sees it at some places of its input and something of fixed width at others."
    parts = [("query", query, heads), ("gate", query, heads), ("key", key, shared), ("value", value, shared)]
    for name, (x, edge), units in parts:
        dense = getattr(layer, f"_{name}_dense", None)
        if dense is not None:
            tracer.consume(call, dense._kernel, 0, tracer.along(x, x.ndim - 1, edge.shape[-1], reason))
            tracer.produce(call, dense._kernel, 1, labels=units)
            tracer.carry(call, dense.bias, 0, units)
            if values is not None and name in ("gate", "value"):
                tracer.produce(call, dense._kernel, 2, labels=values)
                tracer.carry(call, dense.bias, 1, values)
    tracer.consume(call, layer._output_dense._kernel, 0, heads)
    if values is not None:
        tracer.consume(call, layer._output_dense._kernel, 1, values)


def _attended(call, labels, tracer, heads, output_shape):
    """The output, as wide as the query unless the layer says otherwise, and the scores of each head."""
    rank, output = len(call.outputs[0].shape), call.operation._output_dense
    units = tracer.produce(call, output._kernel, -1)
    tracer.carry(call, output.bias, -1, units)
    if output_shape:
        tracer.size(call, "output_shape", (units,))
    else:
        query = tracer.along(labels[0], labels[0].ndim - 1, len(units), "")
        tracer.tie(query, units, f"`{call.path}` returns what is as wide as its query, which has a fixed width.")
    scores = [spread(heads, 1, len(edge.shape)) for edge in call.outputs[1:]]
    return [spread(units, rank - 1, rank), *scores]


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
