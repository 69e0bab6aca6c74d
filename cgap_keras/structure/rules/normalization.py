"""Normalisations."""

import numpy as np
from keras import layers

from cgap_keras.structure.layout import FIXED
from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.convolution import tie_blocks
from cgap_keras.structure.tracer import spread, varies


@rule(layers.BatchNormalization)
def batch_normalization(call, labels, tracer):
    """Every channel is normalised apart; scale, offset and statistics belong to its unit."""
    layer, rank = call.operation, len(call.inputs[0].shape)
    axis = layer.axis % rank
    channels = _along(call, labels[0], axis, tracer)
    for variable in call.weights:
        if variable.ndim:
            tracer.carry(call, variable, 0, channels)
    return [spread(channels, axis, rank)]


@rule(layers.LayerNormalization, layers.RMSNormalization)
def across_axes(call, labels, tracer):
    """Mean and variance are taken over whole axes; scale and offset have a number for each place along them."""
    layer, rank = call.operation, len(call.inputs[0].shape)
    axes = [axis % rank for axis in np.atleast_1d(layer.axis)]
    normalised = labels[0]
    for position, axis in enumerate(axes):
        along = np.full(call.inputs[0].shape[axis], FIXED)
        if varies(normalised, call.inputs[0].shape, axis):
            along = _along(call, normalised, axis, tracer)
            # Copies and missing units change the mean and the variance.
            tracer.units.mark_inexact(along)
        for variable in layer.weights:
            tracer.carry(call, variable, position, along)
    return [normalised]


@rule(layers.GroupNormalization)
def group_normalization(call, labels, tracer):
    """Blocks of channels are normalised together; every block keeps as many channels as the others.

    With as many blocks as channels every channel is normalised apart, and the configuration follows the width.
    """
    layer, rank = call.operation, len(call.inputs[0].shape)
    axis = layer.axis % rank
    channels = _along(call, labels[0], axis, tracer)
    if layer.groups == len(channels):
        tracer.size(call, "groups", channels)
    else:
        tie_blocks(call, channels, layer.groups, tracer)
        tracer.units.mark_inexact(channels)
    for variable in layer.weights:
        tracer.carry(call, variable, 0, channels)
    return [spread(channels, axis, rank)]


@rule(layers.UnitNormalization)
def unit_normalization(call, labels, tracer):
    """The length of whole axes becomes one; copies change it."""
    for axis in np.atleast_1d(call.operation.axis):
        if varies(labels[0], call.inputs[0].shape, axis):
            tracer.units.mark_inexact(labels[0])
    return [labels[0]]


@rule(layers.Normalization)
def fixed_normalization(call, labels, tracer):
    """The statistics belong to the data that the layer was adapted to, so their width is the data's."""
    shape = call.inputs[0].shape
    if any(varies(labels[0], shape, axis) for axis in call.operation.axis):
        tracer.units.freeze(
            labels[0], f"`{call.path}` normalises it by statistics of fixed width; use BatchNormalization."
        )
    tracer.bound.update(id(variable) for variable in call.operation.weights)
    return [labels[0]]


def _along(call, labels, axis, tracer):
    reason = f"`{call.path}` sees it at some places of its input and something of fixed width at others."
    return tracer.along(labels, axis, call.inputs[0].shape[axis], reason)
