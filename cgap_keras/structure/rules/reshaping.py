"""Layers that lay the same elements out anew."""

import math

import numpy as np
from keras import layers

from cgap_keras.structure.registry import rule


@rule(layers.Flatten)
def flatten(call, labels, tracer):
    """All axes but the batch become one: do to the labels what the layer does to the data."""
    shape = call.inputs[0].shape
    perm = list(range(len(shape)))
    if call.operation.data_format == "channels_first" and len(shape) > 1:
        perm = [0, *perm[2:], 1]
    labels, shape = labels[0].transpose(perm), [shape[axis] for axis in perm]
    if all(size == 1 for size in labels.shape):
        return [labels.reshape(1, 1)]
    if None in shape[1:]:
        tracer.units.freeze(
            labels, f"`{call.path}` flattens an axis of unknown size; give the model's input a full shape."
        )
        return [np.broadcast_to(labels.ravel()[:1], (1, 1))]
    return [np.broadcast_to(labels, (1, *shape[1:])).reshape(1, math.prod(shape[1:]))]
