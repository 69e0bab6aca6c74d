"""Pieces of graphs: skips, sharing, models inside models."""

import math

import keras
from keras import layers

from tests.random_steps.bench import ACTIVATIONS, LARGEST, WIDEST, WIDTHS, fit, image_layer, step, step_of_two


@step
def residual(x, other, pick):
    y = layers.Dense(pick(*WIDTHS), activation="relu")(x)
    return layers.Add()([x, layers.BatchNormalization()(layers.Dense(x.shape[-1])(y))])


@step
def u_net(x, other, pick):
    """Down, a layer, up again, and beside what was there."""
    if not 3 <= len(x.shape) <= 4 or any(size % 2 for size in x.shape[1:-1]):
        x = fit(x, (None, 4, 4, x.shape[-1]))
    y = image_layer("MaxPooling{}D", x)(2)(x)
    y = image_layer("Conv{}D", x)(pick(*WIDTHS), 3, padding="same", activation="relu")(y)
    up = pick(
        lambda: image_layer("UpSampling{}D", x)(2),
        lambda: image_layer("Conv{}DTranspose", x)(3, 2, strides=2, padding="same"),
    )()
    return layers.Concatenate()([x, up(y)]) if x.shape[-1] < WIDEST else None


@step
def dense_connectivity(x, other, pick):
    if x.shape[-1] > 6:
        return None
    for _ in range(2):
        x = layers.Concatenate()([x, layers.Dense(2, activation="relu")(layers.BatchNormalization()(x))])
    return x


@step_of_two
def again(x, other, pick):
    """The last layer or nested model of one input on the way to the other tensor, on this one."""
    layer, inputs = _made_by(other)
    while not isinstance(layer, keras.Layer) or len(inputs) != 1:
        if not inputs:
            return None
        layer, inputs = _made_by(inputs[0])
    if inputs[0].dtype != x.dtype:
        return None
    return keras.tree.flatten(layer(fit(x, inputs[0].shape)))


def _made_by(tensor):
    operation = tensor._keras_history.operation
    return operation, operation._inbound_nodes[0].input_tensors


@step_of_two
def shared(x, other, pick):
    """One layer, called on both tensors."""
    layer = layers.Dense(pick(*WIDTHS), activation=pick(*ACTIVATIONS))
    return [layer(x), layer(fit(other, (*other.shape[:-1], x.shape[-1])))]


@step
def sequential(x, other, pick):
    """A nested Sequential model."""
    row = [
        layers.Dense(pick(*WIDTHS), activation=pick("relu", None)),
        pick(layers.BatchNormalization, layers.ReLU, layers.Flatten)(),
        layers.Dense(pick(*WIDTHS)),
    ]
    if math.prod(x.shape[1:]) > LARGEST:
        return None
    return keras.Sequential([keras.Input(x.shape[1:]), *row[: pick(3, 2)]])(x)


@step
def nest(x, other, pick):
    """A nested functional model; the steps inside make it."""
    return None


@step_of_two
def nest_pair(x, other, pick):
    """A nested functional model of two inputs; the steps inside make it."""
    return None
