"""Fully connected layers."""

from keras import layers

from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.elementwise import apply_activation
from cgap_keras.structure.tracer import spread


@rule(layers.Dense)
def dense(call, labels, tracer):
    """A kernel of shape (features in, units) reads the last axis and makes units along it."""
    layer, rank = call.operation, len(call.outputs[0].shape)
    reason = f"`{call.path}` sees it at some places of its input and something of fixed width at others."
    incoming = tracer.along(labels[0], rank - 1, call.inputs[0].shape[-1], reason)
    tracer.consume(call, layer._kernel, 0, incoming)
    units = tracer.produce(call, layer._kernel, -1, key="units")
    tracer.carry(call, layer.bias, 0, units)
    return [apply_activation(call, spread(units, rank - 1, rank), tracer)]
