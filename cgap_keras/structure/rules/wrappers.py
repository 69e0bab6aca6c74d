"""Layers around a layer."""

import dataclasses

from keras import layers

from cgap_keras.structure.registry import rule, rule_for
from cgap_keras.structure.tracer import fixed_labels


@rule(layers.TimeDistributed)
def time_distributed(call, labels, tracer):
    """The layer inside at every step of the time axis, which comes after the batch."""
    steps = labels[0]
    if steps.shape[1] > 1:
        tracer.tie(steps[:, :1], steps, f"`{call.path}` sees it at some steps and something of fixed width at others.")
    outputs = _inside(
        call, [steps[:, 0]], tracer, lambda edge: dataclasses.replace(edge, shape=_without_time(edge.shape))
    )
    return [x[:, None] for x in outputs]


@rule(layers.SpectralNormalization)
def spectral_normalization(call, labels, tracer):
    """The kernel of the layer inside is divided by its largest singular value, which copies change."""
    outputs = _inside(call, labels, tracer, lambda edge: edge)
    layer = call.operation
    units = tracer.units_of(layer.kernel, -1)
    tracer.carry(call, layer.vector_u, 1, units)
    tracer.units.mark_inexact(units)
    return outputs


def _inside(call, labels, tracer, change):
    """Applies the rule of the layer inside, on edges changed by a function."""
    layer = call.operation.layer
    inner_rule = rule_for(layer)
    if inner_rule is None:
        kind = type(layer).__name__
        for x in labels:
            tracer.units.freeze(
                x, f"`{call.path}` applies {kind} to it, and no rule says what {kind} does with channels."
            )
        tracer.bound.update(id(variable) for variable in call.operation.weights)
        return [fixed_labels(len(change(edge).shape)) for edge in call.outputs]
    inputs, outputs = (tuple(change(edge) for edge in edges) for edges in (call.inputs, call.outputs))
    with tracer.inside("layer", "config"):
        return inner_rule(dataclasses.replace(call, operation=layer, inputs=inputs, outputs=outputs), labels, tracer)


def _without_time(shape):
    return (shape[0], *shape[2:])
