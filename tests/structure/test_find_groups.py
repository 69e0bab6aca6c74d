"""`find_groups` on models whose groups are known by hand."""

import keras
import pytest

from cgap_keras import apply, find_groups, rebuild
from cgap_keras.structure import find_variables
from cgap_keras.structure.layout import FIXED
from tests.graphs import MODELS
from tests.models import build, facts_of_groups

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
    # 4 x 12 places after the convolution, 2 x 12 after the pooling.
    "flatten_first": {"out/kernel:0": " ".join(["conv_a"] * 24)},
    "flatten_mixed": {"out/kernel:0": "conv_ax24"},
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
    ("without_rule", "conv_b"): ["`norm`", "Unknown"],
    ("without_rule", "conv_c"): ["`mix`", "Unknown"],
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
