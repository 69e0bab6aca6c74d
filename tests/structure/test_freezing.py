"""What `find_groups` will not touch, and what it says about it."""

import keras
import numpy as np
import pytest
from keras import layers

from cgap_keras import apply, find_groups, register_rule
from cgap_keras.structure import find_variables
from tests.graphs import Reverse, Unknown
from tests.models import build, facts_of_layers

pytestmark = pytest.mark.usefixtures("quick_weights")


def test_normalisation_over_another_axis_freezes():
    image = keras.Input((5, 6, 2))
    x = layers.BatchNormalization(axis=1, name="rows")(layers.Conv2D(4, 1, name="conv")(image))
    model = keras.Model(image, layers.Dense(3, name="out")(layers.Flatten()(x)))
    assert {g.name: bool(g.frozen) for g in find_groups(model)} == {"conv": True, "out": True}


def test_a_sum_with_the_input_freezes():
    image = keras.Input((5, 6, 4))
    x = layers.Add(name="skip")([image, layers.Conv2D(4, 1, name="conv")(image)])
    model = keras.Model(image, layers.Dense(3, name="out")(layers.Flatten()(x)))
    assert "`skip`" in find_groups(model)[0].frozen


@pytest.mark.parametrize(("kind", "words"), [("diagonal", "no rule says"), ("roll", "`roll`"), ("mean", "`mean")])
def test_an_operation_that_mixes_units_freezes(kind, words):
    image = keras.Input((4, 4, 2))
    x = layers.Conv2D(4, 1, name="conv")(image)
    mixed = {
        "diagonal": lambda: keras.ops.diagonal(x, axis1=1, axis2=3),
        "roll": lambda: keras.ops.roll(x, 1, axis=-1),
        "mean": lambda: x + keras.ops.mean(x, axis=-1, keepdims=True),
    }
    x = mixed[kind]()
    model = keras.Model(image, layers.Dense(3, name="out")(layers.Flatten()(x)))
    groups = find_groups(model)
    assert groups[0].name == "conv" and words in groups[0].frozen


def test_an_activation_of_the_users_own_freezes():
    def double(x):
        return 2 * x

    image = keras.Input((5,))
    x = layers.Dense(4, activation=double, name="a")(image)
    x = layers.Dense(4, name="b")(x)
    x = layers.Activation(keras.activations.log_softmax, name="mix")(x)
    model = keras.Model(image, layers.Dense(3, name="out")(x))
    frozen = {g.name: g.frozen for g in find_groups(model)}
    assert "`double`" in frozen["a"] and "`log_softmax`" in frozen["b"] and "`mix`" in frozen["b"]


def test_a_layer_with_weights_beyond_its_rule_freezes():
    image = keras.Input((6,))
    hidden = layers.Dense(4, name="adapted")
    model = keras.Model(image, layers.Dense(3, name="out")(hidden(image)))
    assert find_groups(model)[0].frozen is None
    hidden.enable_lora(2)
    assert "lora" in find_groups(model)[0].frozen


def test_one_unit_at_several_places_cannot_tell_where_a_second_would_go():
    image = keras.Input((4, 4, 2))
    x = layers.Flatten()(layers.Conv2D(1, 3, name="conv")(image))
    model = keras.Model(image, layers.Dense(3, name="out")(x))
    assert "build the layer with two" in find_groups(model)[0].frozen
    alone = keras.Model(image, layers.Dense(3)(layers.GlobalMaxPooling2D()(layers.Conv2D(1, 3, name="conv")(image))))
    assert find_groups(alone)[0].frozen is None


def test_flatten_over_an_unknown_size_freezes():
    image = keras.Input((None, 4, 2))
    x = layers.Flatten(name="flat")(layers.Conv2D(3, 1, name="conv")(image))
    model = keras.Model(image, x)
    assert "`flat`" in find_groups(model)[0].frozen or "output" in find_groups(model)[0].frozen


def test_units_out_of_order_are_frozen():
    vector = keras.Input((5,))
    x = Reverse(name="reverse")(layers.Dense(4, name="hidden")(vector))
    group = find_groups(keras.Model(vector, layers.Dense(3, name="out")(x)))[0]
    assert "`out/kernel`" in group.frozen and "order" in group.frozen
    both = layers.Dense(4, name="hidden")(vector)
    x = layers.Add()([both, Reverse(name="reverse")(both)])
    groups = find_groups(keras.Model(vector, layers.Dense(3, name="out")(x)))
    assert [(g.name, g.size, bool(g.frozen)) for g in groups] == [("hidden", 2, True), ("out", 3, True)]


def test_concatenation_of_examples_ties_the_channels():
    left, right = keras.Input((4, 4, 2)), keras.Input((4, 4, 2))
    a, b = layers.Conv2D(3, 3, name="a")(left), layers.Conv2D(3, 3, name="b")(right)
    x = layers.Flatten()(layers.Concatenate(axis=0, name="batch")([a, b]))
    groups = find_groups(keras.Model([left, right], layers.Dense(3, name="out")(x)))
    assert [(g.name, g.size, bool(g.frozen)) for g in groups] == [("a", 3, False), ("out", 3, True)]
    assert {axis.layer for axis in groups[0].producers} == {"a", "b"}


def test_concatenation_along_the_image_ties_the_channels():
    image = keras.Input((4, 4, 2))
    x = layers.Concatenate(axis=1)([layers.Conv2D(3, 1, name="a")(image), layers.Conv2D(3, 1, name="b")(image)])
    x = layers.Conv2D(2, 1, name="c")(x)
    groups = find_groups(keras.Model(image, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(x))))
    assert [(g.name, g.size) for g in groups] == [("a", 3), ("c", 2), ("out", 3)]
    beside = layers.Concatenate(axis=2, name="beside")([layers.Conv2D(2, 1, name="a")(image), image])
    x = layers.Conv2D(2, 1, name="c")(beside)
    groups = find_groups(keras.Model(image, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(x))))
    assert "`beside`" in groups[0].frozen


def test_concatenations_along_an_unknown_axis_meet():
    image = keras.Input((None, 4, 2))
    a, b = layers.Conv2D(3, 1, name="a")(image), layers.Conv2D(3, 1, name="b")(image)
    two, three = layers.Concatenate(axis=1)([a, b]), layers.Concatenate(axis=1)([a, b, b])
    x = layers.GlobalAveragePooling2D()(layers.Add()([two, three]))
    groups = find_groups(keras.Model(image, layers.Dense(3, name="out")(x)))
    assert [(g.name, g.size, bool(g.frozen)) for g in groups] == [("a", 3, False), ("out", 3, True)]


def test_a_model_in_which_nothing_has_a_rule():
    sequence = keras.Input((4, 3))
    assert find_groups(keras.Model(sequence, Unknown()(sequence))) == ()


def test_a_function_of_the_users_own_freezes():
    vector = keras.Input((5,))
    x = layers.Lambda(lambda x: 2 * x, name="double")(layers.Dense(4, name="a")(vector))
    reason = frozen_of(vector, x)["a"]
    assert "`double` (Lambda)" in reason and "make it a layer" in reason


def test_a_recurrent_layer_that_keeps_its_states_freezes():
    sequence = keras.Input(batch_shape=(2, 5, 3))
    x = layers.LSTM(4, stateful=True, name="b")(layers.Dense(4, name="a")(sequence))
    frozen = frozen_of(sequence, x)
    assert "stateful" in frozen["a"] and "b" not in frozen


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.parametrize("kind", ["Dense", "MultiHeadAttention"])
def test_a_quantized_layer_is_refused_by_name(kind, mode):
    sequence = keras.Input((5, 4))
    x = layers.Dense(6, name="a")(sequence)
    layer = layers.Dense(6, name="q") if kind == "Dense" else layers.MultiHeadAttention(2, 4, name="q")
    x = layer(x) if kind == "Dense" else layer(x, x)
    x = layers.Dense(4, name="b")(x)
    for part in layer._flatten_layers():
        if isinstance(part, (layers.Dense, layers.EinsumDense)):
            part.quantize(mode)
    frozen = frozen_of(sequence, x)
    assert f"`q` ({kind}) is quantized ({mode})" in frozen["a"] and frozen["b"] is None


def test_groups_that_were_found_before_are_found_again_until_something_changes():
    class Twice(layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    vector = keras.Input((5,))
    x = Twice(name="twice")(layers.Dense(4, name="a")(vector))
    model = keras.Model(vector, layers.Dense(3, name="q")(x))
    first = find_groups(model)
    assert find_groups(model) is first and "no rule says" in first[0].frozen
    register_rule(Twice)(lambda call, labels, tracer: labels)
    assert find_groups(model)[0].frozen is None
    apply(model, {"a": [0, 1, 1]})
    assert find_groups(model)[0].size == 3
    model.get_layer("q").quantize("int8")
    assert "is quantized" in find_groups(model)[0].frozen
    model.get_layer("a").name = "b"
    assert find_groups(model)[0].name == "b"


def test_a_mask_made_of_units_freezes_them_and_no_others():
    sequence = keras.Input((5, 4))
    mask = keras.ops.greater(layers.Dense(5, name="m")(sequence[:, 0]), 0)
    x = layers.LSTM(6, name="r")(layers.Dense(8, name="a")(sequence), mask=mask)
    frozen = frozen_of(sequence, x)
    assert "`r` takes a mask" in frozen["m"] and frozen["a"] is frozen["r"] is None


def test_units_that_are_looked_up_as_tokens_freeze():
    vector = keras.Input((5,))
    tokens = keras.ops.cast(layers.Dense(4, activation="relu", name="a")(vector), "int32")
    x = layers.Flatten()(layers.Embedding(100, 3, name="table")(tokens))
    frozen = frozen_of(vector, x)
    assert "`table` looks tokens up" in frozen["a"]


@pytest.mark.parametrize("kind", ["MultiHeadAttention", "GroupQueryAttention"])
def test_scores_that_are_an_output_freeze_the_heads(kind):
    sequence = keras.Input((5, 4))
    sizes = (4, 3) if kind == "MultiHeadAttention" else (3, 4, 2)
    attend = getattr(layers, kind)(*sizes, name="attend")
    x, scores = attend(sequence, sequence, return_attention_scores=True)
    groups = find_groups(keras.Model(sequence, [layers.Dense(3)(x), scores]))
    heads = next(group for group in groups if any(key.key[0].startswith("num_") for key in group.size_keys))
    assert "output of the model" in heads.frozen


@pytest.mark.parametrize("units", [1, 4])
def test_a_sum_over_units_freezes_one_unit_as_well_as_many(units):
    sequence = keras.Input((5, 3))
    x = layers.Dense(units, name="a")(sequence)
    for mix in (
        layers.Softmax(name="mix"),
        lambda x: keras.ops.mean(x, -1, keepdims=True),
        lambda x: keras.ops.cumsum(x, -1),
    ):
        frozen = frozen_of(sequence, layers.Dense(3)(mix(x)))
        assert frozen["a"] is not None


def test_bounds_for_each_channel_freeze():
    vector = keras.Input((5,))
    x = keras.ops.clip(layers.Dense(4, name="a")(vector), np.array([-1.0, -2.0, -3.0, -4.0]), 1.0)
    assert "bounds" in frozen_of(vector, x)["a"]


def frozen_of(inputs, x):
    """`{group: reason}` of a model with a classifier behind `x`."""
    x = layers.Flatten()(x) if len(x.shape) > 2 else x
    return {group.name: group.frozen for group in find_groups(keras.Model(inputs, layers.Dense(3, name="out")(x)))}


def test_a_shared_layer_on_other_channels_is_frozen():
    image = keras.Input((4, 4, 3))
    shared = layers.Conv2D(3, 1, name="shared")
    x = shared(shared(image))
    model = keras.Model(image, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(x)))
    assert "`shared`" in find_groups(model)[0].frozen


def test_layers_of_several_parts_do_not_share_a_path():
    sequence = keras.Input((4, 3))
    x = layers.Bidirectional(layers.LSTM(2), name="both")(sequence)
    model = keras.Model(sequence, layers.Dense(3, name="out")(x))
    assert {id(v) for v in find_variables(model).values()} == {id(v) for v in model.weights}


def test_find_groups_only_reads():
    model = build("nested_functional")
    before = facts_of_layers(model)
    find_groups(model)
    assert facts_of_layers(model) == before


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="functional.*Received: model='own'"):
        find_groups(Own(name="own"))


def test_a_functional_model_with_its_own_call_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return 2 * super().call(inputs)

    vector = keras.Input((3,))
    with pytest.raises(ValueError, match="functional"):
        find_groups(Own(vector, layers.Dense(2)(vector), name="own"))


def test_an_unbuilt_sequential_is_refused():
    with pytest.raises(ValueError, match="not built.*keras.Input.*Received: model='late'"):
        find_groups(keras.Sequential([layers.Dense(2)], name="late"))


@pytest.mark.parametrize("model", [None, 3, "model"])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(ValueError, match="Received: model="):
        find_groups(model)
