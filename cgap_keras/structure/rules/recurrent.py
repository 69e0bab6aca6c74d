"""Recurrent layers: the gates of one unit are slices of one kernel, side by side."""

import dataclasses

import numpy as np
from keras import layers

from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.elementwise import ELEMENTWISE_ACTIVATIONS
from cgap_keras.structure.tracer import fixed_labels, spread

GATES = {layers.LSTM: 4, layers.GRU: 3, layers.SimpleRNN: 1}


@rule(layers.LSTM, layers.GRU, layers.SimpleRNN)
def recurrent(call, labels, tracer):
    """A kernel (features, gates * units) reads the input, a recurrent kernel (units, gates * units) the last state."""
    layer = call.operation
    units = trace_cell(call, layer.cell, GATES[_family(layer)], labels, tracer, key="units")
    return [spread(units, len(edge.shape) - 1, len(edge.shape)) for edge in call.outputs]


@rule(layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)
def convolutional_recurrent(call, labels, tracer):
    """As an LSTM, at every place of an image."""
    layer = call.operation
    units = trace_cell(call, layer.cell, 4, labels, tracer, key="filters")
    first = layer.data_format == "channels_first"
    state_rank = len(call.inputs[0].shape) - 1
    axes = [(1 if first else state_rank - 1) + (len(edge.shape) - state_rank) for edge in call.outputs]
    return [spread(units, axis, len(edge.shape)) for axis, edge in zip(axes, call.outputs, strict=True)]


@rule(layers.Bidirectional)
def bidirectional(call, labels, tracer):
    """Two layers over the same input, of one width, whose outputs are put side by side or combined."""
    layer, both = call.operation, []
    for name in ("forward_layer", "backward_layer"):
        part = getattr(layer, name)
        key = "layer" if name == "forward_layer" else name
        with tracer.inside(key, "config"):
            inner = dataclasses.replace(call, operation=part)
            family = _family(part)
            if family is None:
                return _refuse(call, labels, tracer, type(part).__name__)
            both.append(trace_cell(inner, part.cell, GATES[family], labels[:1], tracer, key="units"))
    forward, backward = both
    if len(labels) > 1 or len(call.outputs) > 1:
        tracer.units.freeze(np.concatenate(both), f"`{call.path}` takes or returns states; use it without.")
        return [fixed_labels(len(edge.shape)) for edge in call.outputs]
    rank = len(call.outputs[0].shape)
    if layer.merge_mode == "concat":
        # Keras makes the two layers from one configuration, so their widths are one.
        tracer.tie(forward, backward, "")
        return [spread(np.concatenate(both), rank - 1, rank)]
    tracer.tie(forward, backward, "")
    return [spread(forward, rank - 1, rank)]


def trace_cell(call, cell, gates, labels, tracer, key):
    """Binds the weights of a cell; returns its units."""
    axis = len(call.inputs[0].shape) - 1
    if getattr(cell, "data_format", None) == "channels_first":
        axis = 2
    reason = f"`{call.path}` sees it at some steps and something of fixed width at others."
    incoming = tracer.along(labels[0], axis, call.inputs[0].shape[axis], reason)
    tracer.consume(call, cell.kernel, -2, incoming)
    units = tracer.units_of(cell.recurrent_kernel, -2)
    tracer.produce(call, cell.kernel, -1, labels=np.tile(units, gates))
    tracer.size(call, key, units)
    tracer.consume(call, cell.recurrent_kernel, -2, units)
    tracer.carry(call, cell.recurrent_kernel, -1, np.tile(units, gates))
    tracer.carry(call, cell.bias, -1, np.tile(units, gates))
    for name in ("activation", "recurrent_activation"):
        function = getattr(cell, name, None)
        if function is not None and function not in ELEMENTWISE_ACTIVATIONS:
            tracer.units.freeze(
                units, f"the {name.replace('_', ' ')} of `{call.path}` may mix units; use an elementwise one."
            )
    for state in labels[1:]:
        along = tracer.along(state, state.ndim - 1, len(units), f"`{call.path}` starts from a state of fixed width.")
        tracer.tie(along, units, f"`{call.path}` starts from a state of fixed width.")
    return units


def _family(layer):
    return next((kind for kind in GATES if type(layer) is kind), None)


def _refuse(call, labels, tracer, kind):
    for x in labels:
        tracer.units.freeze(
            x, f"`{call.path}` wraps {kind}, for which there is no rule; wrap an LSTM, GRU or SimpleRNN."
        )
    return [fixed_labels(len(edge.shape)) for edge in call.outputs]
