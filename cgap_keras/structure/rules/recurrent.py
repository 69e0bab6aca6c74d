"""Recurrent layers: cells that make units at each step, and the layers that run them along the time axis."""

import dataclasses

import numpy as np
from keras import layers, tree
from keras.src.layers.rnn.conv_lstm import ConvLSTMCell

from cgap_keras.structure.labelling import apply_rule, refuse
from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.elementwise import freeze_unless_elementwise
from cgap_keras.structure.tracer import spread


@rule(layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell, ConvLSTMCell)
def cell(call, labels, tracer):
    """A kernel (features, gates * units) reads the input, a recurrent kernel (units, gates * units) the last state.

    The gates of one unit are slices side by side.
    """
    part, rank = call.operation, len(call.inputs[0].shape)
    axis = 1 if getattr(part, "data_format", None) == "channels_first" else rank - 1
    reason = f"`{call.path}` sees it at some steps and something of fixed width at others."
    tracer.consume(call, part.kernel, -2, tracer.along(labels[0], axis, call.inputs[0].shape[axis], reason))
    units = tracer.units_of(part.recurrent_kernel, -2)
    gates = np.tile(units, part.kernel.shape[-1] // len(units))
    tracer.produce(call, part.kernel, -1, labels=gates)
    tracer.size(call, "filters" if isinstance(part, ConvLSTMCell) else "units", units)
    tracer.consume(call, part.recurrent_kernel, -2, units)
    tracer.carry(call, part.recurrent_kernel, -1, gates)
    tracer.carry(call, part.bias, -1, gates)
    for name in ("activation", "recurrent_activation"):
        freeze_unless_elementwise(call, getattr(part, name, None), units, tracer)
    states = 1 if isinstance(part, layers.SimpleRNNCell | layers.GRUCell) else 2
    return [spread(units, axis, rank)] * (1 + states)


@rule(layers.StackedRNNCells)
def stacked_cells(call, labels, tracer):
    """Each cell reads the output of the one before it, and keeps states of its own."""
    step, shape, states = labels[0], call.inputs[0].shape, []
    for position, part in enumerate(call.operation.cells):
        with tracer.inside("cells", position, "config"):
            step, *own = _run_cell(call, part, step, shape, tracer)
        states += own
        shape = (*shape[:-1], _output_size(part))
    return [step, *states]


def _run_cell(call, part, step, shape, tracer):
    """The labels of one step of a cell: its output, then its states."""
    edge = dataclasses.replace(call.inputs[0], shape=shape)
    states = len(tree.flatten(part.state_size))
    inner = dataclasses.replace(call, operation=part, args=(edge,), kwargs={}, inputs=(edge,), outputs=(edge,))
    return apply_rule(dataclasses.replace(inner, outputs=(edge,) * (1 + states)), [step], tracer)


def _output_size(part):
    size = getattr(part, "output_size", None) or part.state_size
    return size if isinstance(size, int) else size[0]


@rule(layers.LSTM, layers.GRU, layers.SimpleRNN, layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)
def recurrent(call, labels, tracer):
    """A cell whose configuration is the layer's own, at every step."""
    return _along_time(call, labels, tracer)


@rule(layers.RNN)
def recurrent_around_a_cell(call, labels, tracer):
    """A cell with a configuration of its own, at every step."""
    with tracer.inside("cell", "config"):
        return _along_time(call, labels, tracer)


def _along_time(call, labels, tracer):
    """The sequence, the last step or both, and the states, of a layer that runs a cell."""
    layer, sequence, shape = call.operation, labels[0], call.inputs[0].shape
    if layer.stateful:
        return refuse(call, labels, tracer, "keeps its states from batch to batch; make it with `stateful=False`.")
    reason = f"`{call.path}` sees it at some steps and something of fixed width at others."
    tracer.tie(sequence[:, :1], sequence, reason)
    step, *states = _run_cell(call, layer.cell, sequence[:, 0], (shape[0], *shape[2:]), tracer)
    for state, given in zip(states, labels[1:], strict=False):
        tracer.tie(state, given, f"`{call.path}` starts from a state of fixed width.")
    return [step[:, np.newaxis] if layer.return_sequences else step, *states][: len(call.outputs)]


@rule(layers.Bidirectional)
def bidirectional(call, labels, tracer):
    """Two layers over the same input, whose outputs are put side by side or combined."""
    layer, both = call.operation, []
    given, states = (len(labels) - 1) // 2, (len(call.outputs) - (2 if call.operation.merge_mode is None else 1)) // 2
    for number, key in enumerate(("layer", "backward_layer")):
        part = (layer.forward_layer, layer.backward_layer)[number]
        chosen = [0, *range(1 + number * given, 1 + (number + 1) * given)]
        edges = tuple(call.inputs[i] for i in chosen)
        returned = (call.outputs[0], *call.outputs[len(call.outputs) - states :])
        arguments = {"args": edges[:1], "kwargs": {"initial_state": list(edges[1:])}}
        inner = dataclasses.replace(call, operation=part, inputs=edges, outputs=returned, **arguments)
        with tracer.inside(key, "config"):
            both.append(apply_rule(inner, [labels[i] for i in chosen], tracer))
    (forward, *ahead), (backward, *behind) = both
    if forward.shape != backward.shape:
        return refuse(call, labels, tracer, "runs two layers of different widths; make them of one.")
    tracer.tie(forward, backward, f"`{call.path}` combines it with something of fixed width.")
    if layer.merge_mode == "concat" and forward.size > 1:
        outputs = [np.concatenate([forward, backward], -1)]
    else:
        outputs = [forward] if layer.merge_mode else [forward, backward]
    return [*outputs, *ahead, *behind]
