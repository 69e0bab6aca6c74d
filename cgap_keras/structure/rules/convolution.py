"""Convolutions."""

import numpy as np
from keras import layers

from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.elementwise import apply_activation
from cgap_keras.structure.tracer import fixed_labels, spread


@rule(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def convolution(call, labels, tracer):
    """A kernel of shape (*window, channels in, filters) reads every channel and makes every filter."""
    layer = call.operation
    incoming = read_channels(call, labels[0], tracer)
    filters = tracer.produce(call, layer._kernel, -1, key="filters")
    tracer.carry(call, layer.bias, 0, filters)
    if layer.groups == 1:
        tracer.consume(call, layer._kernel, -2, incoming)
    else:
        reason = f"`{call.path}` convolves {layer.groups} groups of channels apart; use `groups=1`."
        tracer.units.freeze(incoming, reason)
        tracer.units.freeze(filters, reason)
    return [apply_activation(call, spread_channels(call, filters), tracer)]


@rule(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def depthwise_convolution(call, labels, tracer):
    """A kernel of shape (*window, channels, multiplier) filters every channel apart, each several times."""
    layer = call.operation
    incoming = read_channels(call, labels[0], tracer)
    outgoing = np.repeat(incoming, layer.depth_multiplier)
    tracer.carry(call, layer.kernel, -2, incoming)
    tracer.carry(call, layer.bias, 0, outgoing)
    return [apply_activation(call, spread_channels(call, outgoing), tracer)]


def channel_axis(call):
    """The axis of the channels in the data of a convolution or pooling layer."""
    return len(call.inputs[0].shape) - 1 if call.operation.data_format == "channels_last" else 1


def read_channels(call, labels, tracer):
    """The units along the channel axis of a layer that treats all places of an image alike."""
    axis = channel_axis(call)
    reason = f"`{call.path}` sees it at some places of the image and something of fixed width at others."
    return tracer.along(labels, axis, call.inputs[0].shape[axis], reason)


def spread_channels(call, units):
    """The labels of the layer's output with `units` along its channel axis."""
    rank = len(call.outputs[0].shape)
    return spread(units, channel_axis(call), rank) if len(units) else fixed_labels(rank)
