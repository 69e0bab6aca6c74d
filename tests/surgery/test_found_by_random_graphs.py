"""What random graphs have found, each in its smallest graph."""

import keras
import numpy as np
import pytest
from keras import layers

from cgap_keras import find_groups
from tests.equalities import check_edits
from tests.models import random_inputs, randomize

pytestmark = pytest.mark.usefixtures("quick_weights")


def on_input_and_units(layer):
    """A model that calls a layer on its input, which is fixed, and on the units of a layer."""
    vector = keras.Input((4,))
    tensors = [layer(vector), layer(layers.Dense(4, name="hidden")(vector))]
    return keras.Model(vector, [layers.Dense(2)(layers.Flatten()(x)) for x in tensors])


SHARED = {
    "einsum": lambda: layers.EinsumDense("ab,bc->ac", 3, name="shared"),
    "prelu": lambda: layers.PReLU(name="shared"),
    "layer normalization": lambda: layers.LayerNormalization(name="shared"),
    "reshape": lambda: layers.Reshape((1, 4), name="shared"),
}


@pytest.mark.parametrize("kind", SHARED)
def test_a_layer_called_on_the_input_first_keeps_its_width(kind):
    model = on_input_and_units(SHARED[kind]())
    randomize(model)
    assert "`shared`" in next(group.frozen for group in find_groups(model) if group.name == "hidden")
    check_edits(model, random_inputs(model))


def test_a_reshape_of_two_layers_ties_them():
    vector, shared = keras.Input((3,)), layers.Reshape((2, 3), name="shared")
    tensors = [shared(layers.Dense(6, name=name)(vector)) for name in ("left", "right")]
    model = keras.Model(vector, [layers.Dense(2)(layers.Flatten()(x)) for x in tensors])
    randomize(model)
    assert [g.size for g in find_groups(model) if not g.frozen] == [3]
    check_edits(model, random_inputs(model))


def test_a_model_without_units():
    sequence = keras.Input((4, 3))
    model = keras.Model(sequence, layers.DepthwiseConv1D(2)(sequence))
    assert find_groups(model) == () and np.prod(model.output_shape[1:]) == 9


@pytest.mark.parametrize("other", ["units", "input"])
@pytest.mark.parametrize("join", [layers.Concatenate(axis=1), lambda pair: keras.ops.stack(pair, axis=1)])
def test_tensors_side_by_side_have_one_width(join, other):
    sequence = keras.Input((3, 4))
    left = layers.Dense(4, name="left")(sequence)
    right = layers.Dense(4, name="right")(sequence) if other == "units" else sequence
    model = keras.Model(sequence, layers.Dense(2)(layers.Flatten()(join([left, right]))))
    randomize(model)
    assert [g.size for g in find_groups(model) if not g.frozen] == ([4] if other == "units" else [])
    check_edits(model, random_inputs(model))


@pytest.mark.parametrize("change", [layers.Reshape((1, 1)), lambda x: keras.ops.expand_dims(x, -1)])
def test_one_unit_beside_a_new_axis_is_frozen(change):
    vector = keras.Input((3,))
    x = change(layers.Dense(1, name="hidden")(vector))
    model = keras.Model(vector, layers.Dense(2)(layers.Flatten()(layers.Dense(3, name="next")(x))))
    randomize(model)
    assert "one unit" in next(group.frozen for group in find_groups(model) if group.name == "hidden")
    check_edits(model, random_inputs(model))


def test_a_bias_that_keras_would_add_along_another_axis():
    """Two units of the last axis and a bias for the two places before it: on TensorFlow Keras confuses them."""
    vector = keras.Input((4,))
    x = layers.EinsumDense("ab,bcd->acd", (2, 4), bias_axes="c", name="einsum")(vector)
    model = keras.Model(vector, layers.Dense(2, name="out")(layers.Flatten()(x)))
    randomize(model)
    frozen = next(group.frozen for group in find_groups(model) if group.name == "einsum")
    assert (frozen is not None and "bias" in frozen) == (keras.backend.backend() == "tensorflow")
    check_edits(model, random_inputs(model))


@pytest.mark.parametrize("join", [layers.Concatenate(axis=1), lambda pair: keras.ops.stack(pair, axis=1)])
def test_one_unit_beside_itself_is_still_one_unit(join):
    sequence = keras.Input((3, 2))
    x = layers.Dense(1, activation="tanh", name="hidden")(sequence)
    rows = layers.Reshape((-1, 1))(join([x, x]))
    model = keras.Model(sequence, layers.Dense(2)(layers.GRU(3, name="gru")(rows)))
    randomize(model)
    assert "one unit" in next(group.frozen for group in find_groups(model) if group.name == "hidden")
    check_edits(model, random_inputs(model))


def test_group_query_attention_takes_query_and_value_of_one_width():
    sequence = keras.Input((5, 3))
    query, value, key = (layers.Dense(4, name=name)(sequence) for name in ("query", "value", "key"))
    x = layers.GroupQueryAttention(2, 2, 1, name="attention")(query, value, key)
    model = keras.Model(sequence, layers.Dense(2)(layers.Flatten()(x)))
    randomize(model)
    tied = next(group for group in find_groups(model) if group.name == "query")
    assert {axis.layer for axis in tied.producers} >= {"query", "value"}
    assert [group.name for group in find_groups(model)].count("key") == 1
    check_edits(model, random_inputs(model))


def test_one_unit_beside_another_axis_of_one_place_is_frozen_by_slopes_of_its_own():
    image = keras.Input((1, 5, 2))
    x = layers.PReLU(name="slopes")(layers.Conv2D(1, 1, name="hidden")(image))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalMaxPooling2D()(x)))
    randomize(model)
    assert "`slopes`" in next(group.frozen for group in find_groups(model) if group.name == "hidden")
    check_edits(model, random_inputs(model))
