"""`find_groups` on models whose groups are known by hand."""

import keras
import numpy as np
import pytest
from keras import layers

from cgap_keras import apply, find_groups, rebuild
from cgap_keras.structure import find_variables
from cgap_keras.structure.layout import FIXED
from cgap_keras.structure.registry import rule
from tests.models import MODELS, build, facts_of_groups, facts_of_layers

pytestmark = pytest.mark.usefixtures("quick_weights")


def conv(*names, bias=True, axis=3):
    """The axes that belong to the filters of some convolutions, in order; a star marks what makes a unit."""
    return [x for name in names for x in (f"*{name}/kernel:{axis}", *[f"{name}/bias:0"] * bias)]


def dense(*names):
    return conv(*names, axis=1)


def norm(name, scale=True):
    return [f"{name}/{x}:0" for x in (*["gamma"] * scale, "beta", "moving_mean", "moving_variance")]


# For each model its groups in order: name, producers, consumers; a `!` marks frozen ones.
GROUPS = {
    "chain": [
        ("conv_a", [*conv("conv_a", bias=False), *norm("bn_a")], ["conv_b/kernel:2"]),
        ("conv_b", conv("conv_b"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "residual": [
        ("stem", conv("stem"), ["block1_a/kernel:2", "project/kernel:2"]),
        ("block1_a", [*conv("block1_a"), *norm("bn1_a")], ["block1_b/kernel:2"]),
        (
            "block1_b",
            [*conv("block1_b"), *norm("bn1_b"), *conv("project", "block2_b")],
            ["block2_a/kernel:2", "out/kernel:0"],
        ),
        ("block2_a", conv("block2_a"), ["block2_b/kernel:2"]),
        ("!out", dense("out"), []),
    ],
    "concat": [
        ("conv_a", conv("conv_a"), ["conv_c/kernel:2", "out/kernel:0"]),
        ("conv_b", conv("conv_b"), ["conv_c/kernel:2"]),
        ("conv_c", conv("conv_c"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "depthwise": [
        ("conv_a", [*conv("conv_a"), "dw_a/kernel:2", "dw_a/bias:0", *norm("bn_a")], ["conv_b/kernel:2"]),
        ("conv_b", [*conv("conv_b"), "dw_b/kernel:2"], ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "flatten_last": [
        ("conv_a", conv("conv_a"), ["hidden/kernel:0"]),
        ("hidden", dense("hidden"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "flatten_first": [
        ("conv_a", [*conv("conv_a"), *norm("bn_a")], ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "flatten_mixed": [("conv_a", conv("conv_a"), ["out/kernel:0"]), ("!out", dense("out"), [])],
    "siamese": [
        ("first", conv("first"), ["second/kernel:2"]),
        ("second", conv("second"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "nested_functional": [
        ("outer", conv("outer", "block/inner_b"), ["block/inner_a/kernel:2", "out/kernel:0"]),
        ("block/inner_a", conv("block/inner_a"), ["block/inner_b/kernel:2"]),
        ("!out", dense("out"), []),
    ],
    "nested_sequential": [
        ("outer", conv("outer"), ["stack/inner_a/kernel:2"]),
        ("stack/inner_a", [*conv("stack/inner_a"), *norm("stack/inner_bn")], ["stack/inner_b/kernel:2"]),
        ("stack/inner_b", conv("stack/inner_b"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "sequential": [
        ("conv_a", conv("conv_a"), ["hidden/kernel:0"]),
        ("hidden", dense("hidden"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "two_inputs_two_outputs": [
        ("conv", conv("conv"), ["shown/kernel:0"]),
        ("embed", dense("embed"), ["shown/kernel:0"]),
        ("!shown", dense("shown"), ["hidden/kernel:0"]),
        ("hidden", dense("hidden"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "squeeze_excite": [
        ("conv_a", [*conv("conv_a"), *dense("expand")], ["reduce/kernel:0", "conv_b/kernel:2"]),
        ("reduce", dense("reduce"), ["expand/kernel:0"]),
        ("conv_b", conv("conv_b"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "squeeze_excite_flat": [
        ("conv_a", [*conv("conv_a"), *dense("expand")], ["expand/kernel:0", "out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "spatial_attention": [
        ("features", conv("features"), ["attention/kernel:2", "conv_b/kernel:2"]),
        ("!attention", conv("attention"), []),
        ("conv_b", conv("conv_b"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "softmax_inside": [
        ("conv_a", conv("conv_a"), ["mixing/kernel:2"]),
        ("!mixing", conv("mixing"), ["conv_b/kernel:2"]),
        ("conv_b", conv("conv_b"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "without_rule": [
        ("conv_a", conv("conv_a", axis=2), ["conv_b/kernel:1"]),
        ("!conv_b", conv("conv_b", axis=2), []),
        ("!conv_c", conv("conv_c", axis=2), []),
        ("hidden", dense("hidden"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "own_layers": [
        ("!conv_a", conv("conv_a"), []),
        ("!conv_b", conv("conv_b"), []),
        ("conv_c", conv("conv_c"), ["same/kernel:2"]),
        ("same", conv("same"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    # Keras runs `conv_b` first.
    "tied_twice": [("conv_b", conv("conv_b", "conv_a"), ["out/kernel:0"]), ("!out", dense("out"), [])],
    "tied_in_parts": [
        ("stem", conv("stem"), ["conv_c/kernel:2"]),
        ("conv_a", conv("conv_a", "conv_c"), ["out/kernel:0"]),
        ("conv_b", conv("conv_b", "conv_c"), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "one_dimension": [
        (
            "conv_a",
            [*conv("conv_a", axis=2), *norm("bn_a", scale=False), "dw_a/kernel:1", "dw_a/bias:0"],
            ["conv_b/kernel:1"],
        ),
        ("conv_b", conv("conv_b", axis=2), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
    "three_dimensions": [
        ("conv_a", conv("conv_a", axis=4), ["conv_b/kernel:3"]),
        ("conv_b", conv("conv_b", axis=4), ["out/kernel:0"]),
        ("!out", dense("out"), []),
    ],
}

# The axes along which more lies than the units of one group, once each: names of groups, numbers of fixed positions.
RUNS = {
    "concat": {
        "conv_c/kernel:2": "2 conv_a conv_b",
        "out/kernel:0": " ".join(["conv_c conv_a"] * 6),
    },
    "depthwise": {
        "dw_a/bias:0": "conv_ax2",
        **{axis: "conv_ax2" for axis in (*norm("bn_a"), "conv_b/kernel:2")},
    },
    "flatten_last": {"hidden/kernel:0": " ".join(["conv_a"] * 6)},
    # 4 x 3 places after the convolution, 2 x 3 after the pooling.
    "flatten_first": {"out/kernel:0": " ".join(["conv_a"] * 6)},
    "flatten_mixed": {"out/kernel:0": "conv_ax6"},
    "sequential": {"hidden/kernel:0": " ".join(["conv_a"] * 12)},
    "two_inputs_two_outputs": {"shown/kernel:0": "conv 3 embed"},
    "tied_twice": {
        **{axis.strip("*"): "conv_b conv_b" for axis in conv("conv_b")},
        "out/kernel:0": "conv_b conv_b conv_b",
    },
    "tied_in_parts": {
        **{axis.strip("*"): "conv_a conv_b" for axis in conv("conv_c")},
        "out/kernel:0": "conv_a conv_b",
    },
    "one_dimension": {axis: "conv_ax2" for axis in ("dw_a/bias:0", "conv_b/kernel:1")},
}

# What the reason of a frozen group has to say: the layer, and what it is.
REASONS = {
    ("two_inputs_two_outputs", "shown"): ["output of the model"],
    ("spatial_attention", "attention"): ["`attended`"],
    ("softmax_inside", "mixing"): ["`mixing`", "`softmax`"],
    ("without_rule", "conv_b"): ["`norm`", "LayerNormalization"],
    ("without_rule", "conv_c"): ["`lstm`", "LSTM"],
    ("own_layers", "conv_a"): ["`own_call`", "OwnCall"],
    ("own_layers", "conv_b"): ["`own_convolution`", "OwnConvolution"],
}


def show(axis):
    return f"{'*' if axis.role == 'produce' else ''}{axis.variable}:{axis.axis}"


def show_runs(runs, names):
    units = (str(run.units) if run.group == FIXED else names[run.group] for run in runs)
    return " ".join(x + (f"x{run.repeat}" if run.repeat > 1 else "") for x, run in zip(units, runs, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_groups_are_those_known_by_hand(name):
    groups = find_groups(build(name))
    found = [
        ("!" * bool(g.frozen) + g.name, [show(axis) for axis in g.producers], [show(axis) for axis in g.consumers])
        for g in groups
    ]
    assert found == GROUPS[name]
    assert {g.name: g.size for g in groups if not g.frozen} == MODELS[name][1]
    assert all(g.exact for g in groups) and [g.index for g in groups] == list(range(len(groups)))


@pytest.mark.parametrize("name", MODELS)
def test_runs_are_those_known_by_hand(name):
    groups = find_groups(build(name))
    names = [g.name for g in groups]
    for group in groups:
        for axis in group.axes:
            expected = RUNS.get(name, {}).get(f"{axis.variable}:{axis.axis}", group.name)
            assert show_runs(axis.runs, names) == expected, axis


@pytest.mark.parametrize("name", MODELS)
def test_runs_cover_their_axes_and_the_variables_are_there(name):
    model = build(name)
    variables = find_variables(model)
    groups = find_groups(model)
    for group in groups:
        for axis in group.axes:
            assert sum(run.size for run in axis.runs) == variables[axis.variable].shape[axis.axis]
            assert axis.variable.startswith(f"{axis.layer}/")
            assert all(run.units == groups[run.group].size for run in axis.runs if run.group != FIXED)
    weights = {id(v) for layer in model._flatten_layers() for v in layer.weights}
    assert {id(v) for v in variables.values()} == weights


@pytest.mark.parametrize(("name", "group"), REASONS)
def test_the_reason_of_a_frozen_group_names_the_layer(name, group):
    reason = next(g.frozen for g in find_groups(build(name)) if g.name == group)
    assert all(part in reason for part in REASONS[name, group]), reason


@pytest.mark.parametrize("name", MODELS)
def test_names_and_ties_are_stable_across_edits(name):
    model = build(name)
    before, before_edits = find_groups(model), facts_of_groups(model)
    plan = {g.name: [*range(g.size), 0, g.size - 1][1:] for g in before if not g.frozen}
    for edited in (rebuild(model, plan), model):
        if edited is model:
            apply(model, plan)
        after = find_groups(edited)
        assert [g.name for g in after] == [g.name for g in before]
        assert [g.size for g in after] == [g.size + (g.name in plan) for g in before]
        assert [g.frozen for g in after] == [g.frozen for g in before]
        assert [[show(axis) for axis in g.axes] for g in after] == [[show(axis) for axis in g.axes] for g in before]
        # A second edit starts from the first.
        apply(edited, {name: list(range(size)) for name, size in MODELS[name][1].items()})
        assert facts_of_groups(edited) == before_edits


def test_names_are_stable_across_saving(tmp_path):
    for name in ("residual", "nested_functional", "tied_twice", "tied_in_parts", "siamese"):
        model = build(name)
        path = tmp_path / f"{name}.keras"
        model.save(path)
        assert facts_of_groups(keras.models.load_model(path)) == facts_of_groups(model)


def test_grouped_convolution_is_frozen_on_both_sides():
    image = keras.Input((5, 6, 2))
    x = layers.Conv2D(4, 3, name="before")(image)
    x = layers.Conv2D(6, 3, groups=2, name="grouped")(x)
    model = keras.Model(image, layers.Dense(3, name="out")(layers.Flatten()(x)))
    frozen = {g.name: g.frozen for g in find_groups(model)}
    assert "`grouped`" in frozen["before"] and "`grouped`" in frozen["grouped"]
    assert "groups=1" in frozen["before"]


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


@pytest.mark.parametrize("tensors", ["one", "operator", "reshape"])
def test_an_operation_without_a_rule_freezes(tensors):
    image = keras.Input((4, 4, 2))
    x = layers.Conv2D(4, 1, name="conv")(image)
    if tensors == "one":
        x = keras.ops.roll(x, 1, axis=-1)
    elif tensors == "operator":
        x = x + keras.ops.mean(x, axis=-1, keepdims=True)
    else:
        x = layers.Reshape((8, 8), name="reshape")(x)
    model = keras.Model(image, layers.Dense(3, name="out")(layers.Flatten()(x)))
    groups = find_groups(model)
    assert groups[0].name == "conv" and "no rule says" in groups[0].frozen


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


class Reverse(layers.Layer):
    """Reverses the channels; its rule below does the same to the labels."""

    def call(self, inputs):
        return keras.ops.flip(inputs, -1)


@rule(Reverse)
def reverse(call, labels, tracer):
    return [np.flip(labels[0], -1)]


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
    assert "`c`" in groups[0].frozen


def test_concatenations_along_an_unknown_axis_meet():
    image = keras.Input((None, 4, 2))
    a, b = layers.Conv2D(3, 1, name="a")(image), layers.Conv2D(3, 1, name="b")(image)
    two, three = layers.Concatenate(axis=1)([a, b]), layers.Concatenate(axis=1)([a, b, b])
    x = layers.GlobalAveragePooling2D()(layers.Add()([two, three]))
    groups = find_groups(keras.Model(image, layers.Dense(3, name="out")(x)))
    assert [(g.name, g.size, bool(g.frozen)) for g in groups] == [("a", 3, False), ("out", 3, True)]


def test_a_model_in_which_nothing_has_a_rule():
    sequence = keras.Input((4, 3))
    assert find_groups(keras.Model(sequence, layers.LSTM(2)(sequence))) == ()


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
