"""Convolutions."""

import keras
import numpy as np
from keras import layers

from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.elementwise import apply_activation
from cgap_keras.structure.tracer import fixed_labels, spread


@rule(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def convolution(call, labels, tracer):
    """A kernel of shape (*window, channels in, filters) reads every channel and makes every filter.

    With several groups, each reads its own block of channels and makes its own block of filters, and an edit takes the
    same units from every block.
    """
    layer = call.operation
    incoming = read_channels(call, labels[0], tracer)
    if layer.groups == len(incoming) > 1:
        filters = _filter_each_channel(call, incoming, tracer)
    else:
        filters = tracer.produce(call, layer._kernel, -1, key="filters")
        tracer.consume(call, layer._kernel, -2, tie_blocks(call, incoming, layer.groups, tracer))
        tie_blocks(call, filters, layer.groups, tracer)
        tracer.carry(call, layer.bias, 0, filters)
    return [apply_activation(call, spread_channels(call, filters), tracer)]


def _filter_each_channel(call, incoming, tracer):
    """As many groups as channels: a depthwise convolution by another name."""
    layer = call.operation
    outgoing = np.repeat(incoming, layer.filters // layer.groups)
    tracer.size(call, "groups", incoming)
    tracer.size(call, "filters", outgoing)
    tracer.carry(call, layer._kernel, -1, outgoing)
    tracer.carry(call, layer.bias, 0, outgoing)
    return outgoing


def tie_blocks(call, units, blocks, tracer):
    """Ties the first units of equal blocks together, the second units, and so on, so that the blocks stay equal.

    Returns:
        The units of the first block.
    """
    table = np.reshape(units, (blocks, -1))
    if blocks > 1:
        tracer.tie(
            table[:1],
            table,
            f"`{call.path}` works on {blocks} blocks of equal width, and others hold something of fixed width.",
        )
    return table[0]


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
    data_format = getattr(call.operation, "data_format", "channels_last") or keras.config.image_data_format()
    return 1 if data_format == "channels_first" else len(call.inputs[0].shape) - 1


def read_channels(call, labels, tracer):
    """The units along the channel axis of a layer that treats all places of an image alike."""
    axis = channel_axis(call)
    reason = f"`{call.path}` sees it at some places of the image and something of fixed width at others."
    return tracer.along(labels, axis, call.inputs[0].shape[axis], reason)


def spread_channels(call, units):
    """The labels of the layer's output with `units` along its channel axis."""
    rank = len(call.outputs[0].shape)
    return spread(units, channel_axis(call), rank) if len(units) else fixed_labels(rank)


@rule(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def transposed_convolution(call, labels, tracer):
    """A kernel of shape (*window, filters, channels in) reads every channel and makes every filter."""
    layer = call.operation
    tracer.consume(call, layer.kernel, -1, read_channels(call, labels[0], tracer))
    filters = tracer.produce(call, layer.kernel, -2, key="filters")
    tracer.carry(call, layer.bias, 0, filters)
    return [apply_activation(call, spread_channels(call, filters), tracer)]


@rule(layers.SeparableConv1D, layers.SeparableConv2D)
def separable_convolution(call, labels, tracer):
    """A depthwise kernel filters every channel apart, a pointwise kernel reads the results and makes the filters."""
    layer = call.operation
    incoming = read_channels(call, labels[0], tracer)
    tracer.carry(call, layer.depthwise_kernel, -2, incoming)
    tracer.consume(call, layer.pointwise_kernel, -2, np.repeat(incoming, layer.depth_multiplier))
    filters = tracer.produce(call, layer.pointwise_kernel, -1, key="filters")
    tracer.carry(call, layer.bias, 0, filters)
    return [apply_activation(call, spread_channels(call, filters), tracer)]
