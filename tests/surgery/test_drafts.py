"""Drafts tell what the layers of their classes would, though less is done for them."""

import keras
import numpy as np
import pytest
from keras import layers

import cgap_keras
from cgap_keras import apply, find_groups
from cgap_keras.surgery import drafts
from cgap_keras.surgery.draft_class import draft_class
from cgap_keras.surgery.likeness import differences
from cgap_keras.surgery.remaking import building_without_values, remake

LAYERS = {
    "convolution": (
        lambda: layers.Conv2D(6, 3, strides=2, padding="same", kernel_regularizer="l2"),
        (8, 8, 4),
        "filters",
    ),
    "grouped": (lambda: layers.Conv2D(6, 3, groups=2, use_bias=False), (8, 8, 4), "filters"),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, activation="relu"), (8, 8, 4), None),
    "separable": (lambda: layers.SeparableConv2D(6, 3), (8, 8, 4), "filters"),
    "transposed": (lambda: layers.Conv2DTranspose(6, 3), (8, 8, 4), "filters"),
    "dense": (lambda: layers.Dense(6, "gelu"), (5, 4), "units"),
    "einsum": (lambda: layers.EinsumDense("abc,cd->abd", output_shape=(5, 6), bias_axes="d"), (5, 4), None),
    "batch": (lambda: layers.BatchNormalization(), (8, 8, 4), None),
    "layer": (lambda: layers.LayerNormalization(), (8, 8, 4), None),
    "group": (lambda: layers.GroupNormalization(2), (8, 8, 4), None),
    "prelu": (lambda: layers.PReLU(shared_axes=[1, 2]), (8, 8, 4), None),
    "relu": (lambda: layers.ReLU(6.0), (8, 8, 4), None),
    "activation": (lambda: layers.Activation("swish"), (8, 8, 4), None),
    "pooling": (lambda: layers.MaxPooling2D(padding="same"), (8, 8, 4), None),
    "flatten": (lambda: layers.Flatten(), (8, 8, 4), None),
    "padding": (lambda: layers.ZeroPadding2D(1), (8, 8, 4), None),
    "dropout": (lambda: layers.Dropout(0.5), (8, 8, 4), None),
    "recurrent": (lambda: layers.LSTM(6, return_sequences=True), (5, 4), "units"),
    "bidirectional": (lambda: layers.Bidirectional(layers.GRU(6)), (5, 4), None),
    "quantized dtype": (lambda: layers.Dense(6, dtype="mixed_bfloat16"), (4,), "units"),
}


class Counting(layers.Dense):
    """A user's layer that counts its subclasses and what is set on it."""

    subclasses = 0

    def __init_subclass__(cls):
        Counting.subclasses += 1

    def build(self, input_shape):
        self.seen = input_shape[-1]
        super().build(input_shape)


@pytest.mark.parametrize("name", LAYERS)
def test_a_draft_differs_from_its_layer_as_one_of_its_own_class_does(name):
    make, shape, key = LAYERS[name]
    layer, tensor = make(), keras.Input(shape)
    layer(tensor)
    sizes = {(key,): 4} if key else {}
    reached = drafts.stand_in(tensor, (None, *shape[:-1], 2))
    with building_without_values():
        made = drafts.Drafts().make(layer, sizes, (reached,), {})
        full = remake(layer, sizes)
        outputs = keras.tree.flatten(full(reached))
    assert _told(made.attributes) == _told(differences(layer, full))
    assert [(x.shape, x.dtype) for x in made.outputs] == [(x.shape, x.dtype) for x in outputs]
    assert [tuple(x.shape) for x in made.layer.weights] == [tuple(x.shape) for x in full.weights]


def test_layers_without_weights_share_a_draft_and_keep_shapes_of_their_own(monkeypatch):
    image, remade, original = keras.Input((16, 16, 3)), [], drafts.remake
    x = image
    for i, width in enumerate((4, 6, 8)):
        x = layers.MaxPooling2D(name=f"pool_{i}")(layers.ReLU(name=f"relu_{i}")(layers.Conv2D(width, 1)(x)))
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))
    monkeypatch.setattr(drafts, "remake", lambda layer, *args: remade.append(layer.name) or original(layer, *args))
    apply(model, {group.name: range(0, group.size, 2) for group in find_groups(model) if not group.frozen})
    assert [name for name in remade if name.startswith(("pool", "relu"))] == ["relu_0", "pool_0"]
    shapes = [model.get_layer(f"pool_{i}").output.shape for i in range(3)]
    assert shapes == [(None, 8, 8, 2), (None, 4, 4, 3), (None, 2, 2, 4)]
    images = np.ones((1, 16, 16, 3), "float32")
    loaded = keras.Model.from_config(model.get_config())
    loaded.set_weights(model.get_weights())
    np.testing.assert_allclose(loaded.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-6)


def test_a_class_of_the_users_own_has_no_other_class_for_drafts():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="a"), Counting(2)])
    cgap_keras.register_rule(Counting)(cgap_keras.structure.registry.rule_for(layers.Dense(1)))
    apply(model, {"a": [0, 1]})
    assert (model.layers[1].seen, Counting.subclasses) == (2, 0)
    assert draft_class(Counting) is Counting and draft_class(layers.Dense) is not layers.Dense


def test_the_class_of_drafts_is_made_once_and_never_the_models():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="a"), layers.Dense(2)])
    apply(model, {"a": [0, 1]})
    assert draft_class(layers.Dense) is draft_class(layers.Dense)
    assert all(type(layer) is layers.Dense for layer in model.layers)


def _told(attributes):
    return [{name: _plain(value) for name, value in found.items()} for _, found in attributes]


def _plain(value):
    if isinstance(value, keras.InputSpec):
        return value.get_config()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value
