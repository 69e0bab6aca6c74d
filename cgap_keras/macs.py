"""How many multiply-accumulates one call of a layer takes: a rule for each layer family, looked up in a table.

Counted are the products of activations with weights, and in attention those of activations with each other. That is
what the published counts of convolutional networks hold: no bias, no activation, no normalisation (an exporter folds it
into the convolution before it), no pooling, no element-wise sum.
"""

import dataclasses
import math

from keras import layers
from keras.src.applications import convnext

from cgap_keras.structure.graph import is_nested_model, trace, without_time

_RULES = {}

# These have weights and yet no multiply-accumulate of the kind that is counted: LayerScale, a normalisation and PReLU
# scale each value alone, and an embedding looks its rows up.
_ZERO_WITH_WEIGHTS = (
    convnext.LayerScale,
    layers.BatchNormalization,
    layers.Embedding,
    layers.GroupNormalization,
    layers.LayerNormalization,
    layers.Normalization,
    layers.PReLU,
    layers.RMSNormalization,
)

# Without weights, and still contractions (or opaque): to count them as nothing would be wrong, and no rule is written.
_UNCOUNTED_LAYERS = (layers.AdditiveAttention, layers.TFSMLayer)
_UNCOUNTED_FUNCTIONS = frozenset(
    ("CDist", "Conv", "ConvTranspose", "Correlate", "DepthwiseConv", "Dot", "DotProductAttention")
    + ("Einsum", "Inner", "Kron", "Outer", "SeparableConv", "Tensordot", "Vdot")
)


def macs_rule(*layer_classes):
    """Registers the function that counts the multiply-accumulates of a layer class.

    A rule also holds for the subclasses that keep the `call` method of the class. A later rule for the same class
    replaces the earlier.

    Args:
        *layer_classes: The `keras.Layer` classes that the rule is for.

    Returns: A decorator for a function that takes a `cgap_keras.structure.graph.Call` and returns an integer, for a
        batch of one.

    Example:

    ```python
    @macs_rule(LowRankDense)
    def low_rank(call):
        return call.operation.rank * (call.inputs[0].shape[-1] + call.outputs[0].shape[-1])
    ```
    """

    def register(rule):
        _RULES.update(dict.fromkeys(layer_classes, rule))
        return rule

    return register


def count_macs(call):
    """The multiply-accumulates of one call of a layer, for a batch of one.

    A layer without weights counts as zero: it multiplies no activation by a weight. Exceptions are attention, `Dot` and
    `matmul`, which have rules, and the contractions that have none and are refused.

    Args:
        call: A `cgap_keras.structure.graph.Call`.

    Returns:
        An integer.

    Raises: ValueError: If a layer with weights, or a contraction, has no rule, or if a size that the count depends on
        is not known.
    """
    operation = call.operation
    rule = _find_rule(operation)
    if rule is None:
        raise _no_rule(call, operation)
    return rule(call)


def _no_rule(call, operation):
    return ValueError(
        f"There is no rule to count the multiply-accumulates of {call.path!r}, of type {type(operation).__name__}. "
        "Register one with `cgap_keras.macs.macs_rule`, or build the model from layers that have one. "
        f"Received: layer={operation.name!r}"
    )


def _find_rule(operation):
    kind = type(operation)
    if not isinstance(operation, layers.Layer):
        if kind.__name__ == "Matmul":
            return _matmul
        return None if kind.__name__ in _UNCOUNTED_FUNCTIONS else _zero
    for ancestor in kind.__mro__:
        # A subclass that computes something else is not the layer that the rule was written for.
        if ancestor in _RULES and kind.call is ancestor.call:
            return _RULES[ancestor]
    return None if operation.weights or isinstance(operation, _UNCOUNTED_LAYERS) else _zero


@macs_rule(*_ZERO_WITH_WEIGHTS)
def _zero(call):
    return 0


@macs_rule(layers.Dense)
def _dense(call):
    return call.inputs[0].shape[-1] * _elements(call, call.outputs[0])


@macs_rule(layers.EinsumDense)
def _einsum_dense(call):
    # One for every combination of the equation's letters: those of the input, and those that the kernel alone has.
    inputs, kernel, _ = call.operation.equation.replace("->", ",").split(",")
    sizes = zip(kernel, call.operation.kernel.shape, strict=True)
    return _elements(call, call.inputs[0]) * math.prod(size for letter, size in sizes if letter not in inputs)


@macs_rule(layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def _convolution(call):
    # The kernel's input axis holds the channels of one group, so groups need no term of their own.
    return math.prod(call.operation.kernel.shape) * _positions(call, call.outputs[0])


@macs_rule(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def _transposed_convolution(call):
    # Every input pixel meets the whole kernel, whatever the stride.
    return math.prod(call.operation.kernel.shape) * _positions(call, call.inputs[0])


@macs_rule(layers.SeparableConv1D, layers.SeparableConv2D)
def _separable_convolution(call):
    layer = call.operation
    weights = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
    return weights * _positions(call, call.outputs[0])


@macs_rule(layers.SimpleRNN, layers.GRU, layers.LSTM, layers.RNN)
def _recurrent(call):
    cell = call.operation.cell
    cells = getattr(cell, "cells", [cell])
    for part in cells:
        if not isinstance(part, (layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell)):
            raise _no_rule(call, part)
    return _steps(call) * sum(_kernels(part) for part in cells)


@macs_rule(layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)
def _recurrent_convolution(call):
    # Both kernels, that of the input and that of the state, meet every output pixel at every step.
    layer, step = call.operation, call.outputs[0]
    if layer.return_sequences:
        step = _without_time(step)
    return _steps(call) * _kernels(layer.cell) * _positions(call, step)


def _kernels(cell):
    return math.prod(cell.kernel.shape) + math.prod(cell.recurrent_kernel.shape)


@macs_rule(layers.Bidirectional)
def _bidirectional(call):
    both = (call.operation.forward_layer, call.operation.backward_layer)
    return sum(count_macs(dataclasses.replace(call, operation=layer)) for layer in both)


@macs_rule(layers.TimeDistributed)
def _time_distributed(call):
    layer, inputs = call.operation.layer, tuple(map(_without_time, call.inputs))
    outputs = tuple(map(_without_time, call.outputs))
    if is_nested_model(layer):
        return _steps(call) * sum(count_macs(inner) for inner in trace(layer, inputs, f"{call.path}/").calls)
    return _steps(call) * count_macs(dataclasses.replace(call, operation=layer, inputs=inputs, outputs=outputs))


def _without_time(edge):
    return dataclasses.replace(edge, shape=without_time(edge.shape))


@macs_rule(layers.MultiHeadAttention)
def _multi_head_attention(call):
    layer, config = call.operation, call.operation.get_config()
    query = _argument(call, 0, "query")
    value = _argument(call, 1, "value")
    key = _argument(call, 2, "key") or value
    projections = (
        (layer.query_dense, query),
        (layer.key_dense, key),
        (layer.value_dense, value),
        (layer.output_dense, query),
    )
    total = sum(math.prod(dense.kernel.shape) * _product(call, edge.shape[1:-1]) for dense, edge in projections)
    keys = _product(call, [value.shape[axis] for axis in config["attention_axes"]])
    scores = config["num_heads"] * _product(call, query.shape[1:-1]) * keys
    return total + scores * (config["key_dim"] + config["value_dim"])


@macs_rule(layers.GroupQueryAttention)
def _group_query_attention(call):
    layer, query, value = call.operation, _argument(call, 0, "query"), _argument(call, 1, "value")
    projections = [
        (layer._query_dense, query),
        (layer._key_dense, _argument(call, 2, "key") or value),
        (layer._value_dense, value),
        (layer._output_dense, query),
    ]
    if layer.use_gate:
        projections.append((layer._gate_dense, query))
    total = sum(math.prod(dense.kernel.shape) * _product(call, edge.shape[1:-1]) for dense, edge in projections)
    return total + 2 * layer.num_query_heads * layer.head_dim * _product(call, (query.shape[1], value.shape[1]))


@macs_rule(layers.ReversibleEmbedding)
def _reversible_embedding(call):
    # Tokens are looked up; in reverse every token gets a score.
    return call.inputs[0].shape[-1] * _elements(call, call.outputs[0]) if _argument(call, 1, "reverse") else 0


@macs_rule(layers.Attention)
def _attention(call):
    query, value, *key = call.inputs[: len(call.args[0])]
    scores = _product(call, (query.shape[1], value.shape[1]))
    return scores * ((key or [value])[0].shape[-1] + value.shape[-1])


@macs_rule(layers.Dot)
def _dot(call):
    axes = call.operation.axes
    axis = axes if isinstance(axes, int) else axes[0]
    return _product(call, [call.inputs[0].shape[axis]]) * _elements(call, call.outputs[0])


def _matmul(call):
    return _product(call, [_argument(call, 0, "x1").shape[-1]]) * _elements(call, call.outputs[0])


def _argument(call, position, name):
    return call.args[position] if len(call.args) > position else call.kwargs.get(name)


def _steps(call):
    return _product(call, [call.inputs[0].shape[1]])


def _elements(call, edge):
    return _product(call, edge.shape[1:])


def _positions(call, edge):
    """The pixels of a feature map: its elements, the channels left out."""
    channels_first = call.operation.data_format == "channels_first"
    return _product(call, edge.shape[2:] if channels_first else edge.shape[1:-1])


def _product(call, sizes):
    if None in sizes:
        raise ValueError(
            f"The multiply-accumulates of {call.path!r} depend on a size that is not known. Give the model a "
            "`keras.Input` with every size but the batch. "
            f"Received: input shapes={[edge.shape for edge in call.inputs]}"
        )
    return math.prod(sizes)
