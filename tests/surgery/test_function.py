"""What an edit does to the function of a model, in numbers."""

import keras
import numpy as np
import pytest
from keras import layers

from cgap_keras import apply, find_groups, rebuild
from tests.graphs import MODELS
from tests.models import build, build_masked, difference, random_inputs, randomize, run_model, values_of

pytestmark = pytest.mark.usefixtures("quick_weights")

TOLERANCE = 1e-5


def shuffled_growth(size, rng):
    """Every unit at least once, some twice or more often, in any order."""
    index = np.concatenate([np.arange(size), rng.integers(0, size, rng.integers(1, size + 2))])
    return rng.permutation(index).tolist()


def pruned(size, rng):
    """Some units left out, those that stay in any order and some of them twice."""
    kept = rng.permutation(size)[: rng.integers(1, size)]
    return [*kept.tolist(), *rng.choice(kept, rng.integers(0, 3)).tolist()]


@pytest.mark.parametrize("name", MODELS)
def test_growth_and_reordering_leave_the_function_alone(name):
    model, rng = build(name), np.random.default_rng(1)
    inputs = random_inputs(model)
    expected = run_model(model, inputs)
    for new_units in ("split", "zero"):
        plan = {group: shuffled_growth(size, rng) for group, size in MODELS[name][1].items()}
        grown = rebuild(model, plan, new_units=new_units)
        assert {g.name: g.size for g in find_groups(grown) if g.name in plan} == {n: len(i) for n, i in plan.items()}
        assert difference(expected, run_model(grown, inputs)) < TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_pruning_equals_masking_by_hand(name):
    model, rng = build(name), np.random.default_rng(2)
    inputs = random_inputs(model)
    plan = {group: pruned(size, rng) for group, size in MODELS[name][1].items()}
    masks = {group: np.isin(np.arange(size), plan[group]).astype("float32") for group, size in MODELS[name][1].items()}
    expected = run_model(build_masked(name, model, masks), inputs)
    # The masks have to matter for the comparison to say anything.
    assert difference(expected, run_model(model, inputs)) > 1e-3
    assert difference(expected, run_model(rebuild(model, plan), inputs)) < TOLERANCE
    apply(model, plan)
    assert difference(expected, run_model(model, inputs)) < TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_each_group_alone(name):
    model = build(name)
    inputs = random_inputs(model)
    expected = run_model(model, inputs)
    for group, size in MODELS[name][1].items():
        apply(model, {group: [*range(size), 0]})
        assert difference(expected, run_model(model, inputs)) < TOLERANCE


def test_repeated_edits_compose():
    once, twice = build("residual"), build("residual")
    first = {"block1_b": [5, 0, 3, 3, 1], "stem": [2, 0]}
    second = {"block1_b": [4, 0], "stem": [1, 0, 0]}
    apply(twice, first)
    apply(twice, second)
    # 5, 0, 3, 3, 1 taken at 4, 0 is 1, 5: neither of the two 3s is left.
    apply(once, {"block1_b": [1, 5], "stem": [0, 2, 2]})
    inputs = random_inputs(once)
    assert difference(run_model(once, inputs), run_model(twice, inputs)) < TOLERANCE


def test_cgap_growth_preserves_a_network_of_homogeneous_activations():
    """With ReLU and without normalisation, half the input makes half the output, and there are two of it."""
    image = keras.Input((4, 5, 2))
    x = layers.Conv2D(4, 3, activation="relu", name="conv_a")(image)
    x = layers.Dense(5, activation="relu", name="hidden")(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(3, name="out")(x))
    randomize(model)
    inputs = random_inputs(model)
    expected = run_model(model, inputs)
    kernel = keras.ops.convert_to_numpy(model.get_layer("hidden").kernel)
    apply(model, {"conv_a": [0, 1, 2, 3, 1, 1], "hidden": [0, 1, 2, 3, 4, 4]}, new_units="cgap")
    assert difference(expected, run_model(model, inputs)) < TOLERANCE
    changed = keras.ops.convert_to_numpy(model.get_layer("hidden").kernel)
    # Outgoing weights are copied: rows of conv_a's first place.
    assert np.allclose(changed[[1, 4, 5]][:, :4], kernel[[1, 1, 1]][:, :4])
    assert np.allclose(changed[0, 4:], kernel[0, 4] / 2)


def test_cgap_growth_divides_what_makes_the_units_and_nothing_else():
    def weights(model):
        return {v.path: value for v, value in zip(model.weights, values_of(model.weights), strict=True)}

    model, index = build("depthwise"), [0, 1, 2, 1]
    before, share = weights(model), np.array([1, 0.5, 1, 0.5], "float32")
    apply(model, {"conv_a": index}, new_units="cgap")
    after, doubled = weights(model), [0, 1, 2, 3, 4, 5, 2, 3]
    assert np.array_equal(after["conv_a/kernel"], before["conv_a/kernel"][..., index] * share)
    assert np.array_equal(after["conv_a/bias"], before["conv_a/bias"][index] * share)
    assert np.array_equal(after["dw_a/kernel"], before["dw_a/kernel"][:, :, index])
    for path in ("dw_a/bias", "bn_a/gamma", "bn_a/beta", "bn_a/moving_mean", "bn_a/moving_variance"):
        assert np.array_equal(after[path], before[path][doubled]), path
    assert np.array_equal(after["conv_b/kernel"], before["conv_b/kernel"][:, :, doubled])


def test_split_and_zero_do_what_they_say_to_the_weights():
    for new_units, shares in (("split", [1, 0.5, 0.5]), ("zero", [1, 1, 0])):
        model = build("flatten_last")
        hidden, out = (keras.ops.convert_to_numpy(model.get_layer(n).kernel) for n in ("hidden", "out"))
        apply(model, {"hidden": [3, 1, 1]}, new_units=new_units)
        assert np.array_equal(keras.ops.convert_to_numpy(model.get_layer("hidden").kernel), hidden[:, [3, 1, 1]])
        expected = out[[3, 1, 1]] * np.array(shares, "float32")[:, None]
        assert np.array_equal(keras.ops.convert_to_numpy(model.get_layer("out").kernel), expected)


def test_growth_is_exact_in_training_mode_with_batch_statistics():
    model = build("chain")
    inputs = random_inputs(model, batch=8)
    expected = keras.ops.convert_to_numpy(model(inputs[0], training=True))
    apply(model, {"conv_a": [0, 1, 2, 3, 3], "conv_b": [4, 3, 2, 1, 0, 0]})
    assert difference([expected], [keras.ops.convert_to_numpy(model(inputs[0], training=True))]) < TOLERANCE


def test_a_nested_model_called_on_two_sizes_keeps_its_open_shape():
    inner = keras.Input((None, None, 3))
    nested = keras.Model(inner, layers.Conv2D(4, 1, name="inside")(inner), name="nested")
    first, small, large = layers.Conv2D(3, 1, name="first"), keras.Input((4, 5, 2)), keras.Input((6, 7, 2))
    pooled = [layers.GlobalAveragePooling2D()(nested(first(x))) for x in (small, large)]
    model = keras.Model([small, large], layers.Dense(3, name="out")(layers.Subtract()(pooled)))
    randomize(model)
    inputs = random_inputs(model)
    expected = run_model(model, inputs)
    apply(model, {"first": [0, 1, 2, 0], "nested/inside": [3, 2, 1, 0, 0]})
    assert difference(expected, run_model(model, inputs)) < TOLERANCE
    assert nested.input_shape == (None, None, None, 4) and nested.output_shape == (None, None, None, 5)


@pytest.mark.parametrize("outer_first", [True, False])
def test_a_layer_shared_by_a_nested_model_and_the_one_around_it(outer_first):
    shared, inner, vector = layers.Dense(4, name="shared"), keras.Input((3,)), keras.Input((3,))
    nested = keras.Model(inner, shared(inner), name="nested")
    tensors = [shared(vector), nested(vector)]
    x = layers.Average(name="average")(tensors if outer_first else tensors[::-1])
    model = keras.Model(vector, layers.Dense(3, name="out")(layers.ReLU()(x)))
    randomize(model)
    inputs = random_inputs(model)
    expected = run_model(model, inputs)
    group = find_groups(model)[0]
    plan = {group.name: [0, 1, 2, 3, 3]}
    assert difference(expected, run_model(rebuild(model, plan), inputs)) < TOLERANCE
    apply(model, plan)
    assert difference(expected, run_model(model, inputs)) < TOLERANCE
    assert nested.output_shape == model.get_layer("average").output.shape == (None, 5)


def test_float16_weights():
    vector = keras.Input((5,), dtype="float16")
    x = layers.Dense(4, activation="relu", dtype="float16", name="hidden")(vector)
    model = keras.Model(vector, layers.Dense(3, dtype="float16", name="out")(x))
    inputs = [x.astype("float16") for x in random_inputs(model)]
    expected = run_model(model, inputs)
    apply(model, {"hidden": [0, 1, 2, 3, 3, 3]}, noise=0.0)
    assert {v.dtype for v in model.weights} == {"float16"}
    assert (
        difference([x.astype("float32") for x in expected], [x.astype("float32") for x in run_model(model, inputs)])
        < 1e-2
    )
