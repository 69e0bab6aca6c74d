"""Layers around a layer, or around a whole model."""

import dataclasses

from keras import layers

from cgap_keras.structure.graph import is_nested_model, trace, without_time
from cgap_keras.structure.labelling import apply_rule, label_graph
from cgap_keras.structure.registry import rule


@rule(layers.TimeDistributed)
def time_distributed(call, labels, tracer):
    """The layer inside at every step of the time axis, which comes after the batch."""
    steps = labels[0]
    tracer.tie(steps[:, :1], steps, f"`{call.path}` sees it at some steps and something of fixed width at others.")
    inputs, outputs = (
        tuple(dataclasses.replace(edge, shape=without_time(edge.shape)) for edge in edges)
        for edges in (call.inputs, call.outputs)
    )
    return [x[:, None] for x in _inside(call, inputs, outputs, [steps[:, 0]], tracer)]


@rule(layers.SpectralNormalization)
def spectral_normalization(call, labels, tracer):
    """The kernel of the layer inside is divided by its largest singular value, which copies on either side change."""
    layer = call.operation
    outputs = _inside(call, call.inputs, call.outputs, labels, tracer)
    for axis in range(len(layer.kernel.shape)):
        units = tracer.known(layer.kernel, axis)
        if units is not None:
            tracer.units.mark_inexact(units)
    # Of a kernel whose last axis no edit changes (a depthwise multiplier) this keeps its size.
    last = tracer.known(layer.kernel, -1)
    if last is not None:
        tracer.carry(call, layer.vector_u, 1, last)
    tracer.bound.add(id(layer.vector_u))
    return outputs


def _inside(call, inputs, outputs, labels, tracer):
    """The labels that come out of the layer inside."""
    inner = dataclasses.replace(
        call, operation=call.operation.layer, args=inputs, kwargs={}, inputs=inputs, outputs=outputs
    )
    if is_nested_model(inner.operation):
        return label_graph(trace(inner.operation, inputs, f"{call.path}/"), labels, tracer)
    with tracer.inside("layer", "config"):
        return apply_rule(inner, labels, tracer)
