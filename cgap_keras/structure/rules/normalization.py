"""Normalisations."""

from keras import layers

from cgap_keras.structure.registry import rule
from cgap_keras.structure.tracer import spread


@rule(layers.BatchNormalization)
def batch_normalization(call, labels, tracer):
    """Every channel is normalised apart; scale, offset and statistics belong to its unit."""
    layer, rank = call.operation, len(call.inputs[0].shape)
    axis = layer.axis % rank
    reason = f"`{call.path}` sees it at some places of its input and something of fixed width at others."
    channels = tracer.along(labels[0], axis, call.inputs[0].shape[axis], reason)
    for variable in layer.weights:
        if variable.shape:
            tracer.carry(call, variable, 0, channels)
    return [spread(channels, axis, rank)]
