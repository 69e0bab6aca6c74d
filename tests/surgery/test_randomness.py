"""Noise: seeded, of the size it says, and nobody else's randomness is disturbed."""

import random

import keras
import numpy as np
import pytest
from keras import layers

from cgap_keras import apply, find_groups, rebuild
from cgap_keras.policy import GrowthPolicy
from cgap_keras.surgery import copy_model
from tests.models import build, randomize, same_values, values_of

# Of a model with a dropout that draws its own seed, and that the edit makes wider.
PLAN = {"conv_a": [0, 1, 2, 2, 0], "conv_b": [3, 3, 1, 0, 0, 2]}

EDITS = {
    "apply": lambda model: apply(model, PLAN, noise=0.1),
    "apply_seeded": lambda model: apply(model, PLAN, noise=0.1, seed=7),
    "rebuild": lambda model: rebuild(model, PLAN, noise=0.1),
    "copy_model": copy_model,
    "find_groups": find_groups,
}


def draws():
    layer = layers.Dense(3)
    layer.build((None, 2))
    return [
        random.random(),
        random.randint(0, 10**9),
        np.random.random(),
        np.random.default_rng(np.random.get_state()[1][:4]).random(),
        keras.ops.convert_to_numpy(keras.random.normal((3,))).tolist(),
        keras.ops.convert_to_numpy(layer.kernel).tolist(),
        keras.ops.convert_to_numpy(layers.Dropout(0.5)(np.ones((1, 32)), training=True)).tolist(),
    ]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_draws_nothing_from_anybody(edit):
    results = []
    for edited in (False, True):
        model = build("one_dimension")
        keras.utils.set_random_seed(5)
        keras.random.normal((2,))
        if edited:
            EDITS[edit](model)
        results.append(draws())
    assert results[0] == results[1]


def test_an_edit_does_not_count_among_the_names_of_layers():
    model, first = build("one_dimension"), layers.Dense(1).name
    for edit in EDITS.values():
        edit(copy_model(model))
    assert int(layers.Dense(1).name.rpartition("_")[2]) == int(first.rpartition("_")[2] or 0) + 1


@pytest.mark.parametrize("function", [apply, rebuild])
def test_noise_is_fixed_by_its_seed(function):
    def result(seed, noise=0.5):
        model = build("one_dimension")
        new = function(model, PLAN, noise=noise, seed=seed)
        return values_of((model if function is apply else new).weights)

    assert same_values(result(1), result(1)) and same_values(result(1, 0.0), result(2, 0.0))
    assert not same_values(result(1), result(2)) and not same_values(result(1), result(1, 0.0))
    assert not same_values(result(None), result(None))


def residual_edited(**options):
    """What differs with noise after an edit of a residual network: `{variable: last two axes' places}`."""
    quiet, noisy = build("residual"), build("residual")
    plan = {"block1_b": [0, 1, 2, 3, 4, 5, 5, 2]}
    apply(quiet, plan, **options)
    apply(noisy, plan, noise=0.5, seed=0, **options)
    changed = {}
    for a, b in zip(quiet.weights, noisy.weights, strict=True):
        places = np.argwhere(values_of([a])[0] != values_of([b])[0])
        if len(places):
            changed[a.path] = places
    return changed


@pytest.mark.parametrize("new_units", ["zero", "cgap"])
def test_noise_is_on_what_makes_new_units_and_nowhere_else(new_units):
    changed = {path: set(places[:, -1].tolist()) for path, places in residual_edited(new_units=new_units).items()}
    # All three convolutions that make the units, at the two that are new.
    assert changed == {f"{name}/kernel": {6, 7} for name in ("block1_b", "project", "block2_b")}


def test_noise_of_a_split_is_on_what_reads_the_siblings_and_nowhere_else():
    changed = {path: set(places[:, -2].tolist()) for path, places in residual_edited().items()}
    assert changed == {f"{name}/kernel": {2, 5, 6, 7} for name in ("block2_a", "out")}


def wide_model(inputs, units, outputs):
    """A hidden layer of a few units whose weights have means of 1, and deviations that are ten times the last one's."""
    vector = keras.Input((inputs,))
    model = keras.Model(vector, layers.Dense(outputs, name="out")(layers.Dense(units, name="hidden")(vector)))
    randomize(model)
    for name, axis in (("hidden", -1), ("out", 0)):
        kernel = model.get_layer(name).kernel
        scales = np.expand_dims(10.0 ** np.arange(units), 1 + axis)
        kernel.assign((values_of([kernel])[0] * scales + 1).astype("float32"))
    return model


@pytest.mark.parametrize("new_units", ["zero", "cgap"])
def test_noise_is_relative_to_the_parents_weights(new_units):
    model = wide_model(4000, 3, 1)
    before = values_of([model.get_layer("hidden").kernel])[0]
    apply(model, {"hidden": [0, 1, 2, 0, 1, 2]}, new_units=new_units, noise=0.3, seed=0)
    after = values_of([model.get_layer("hidden").kernel])[0]
    if new_units == "cgap":
        before = before / 2
    noise = after[:, 3:] - before
    assert np.array_equal(after[:, :3], before)
    assert np.allclose(noise.std(axis=0) / before.std(axis=0), 0.3, rtol=0.05)
    assert np.all(np.abs(noise.mean(axis=0)) < 0.02 * before.std(axis=0))
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.1


def test_noise_of_a_split_is_relative_to_the_parents_weights_and_adds_up_to_nothing():
    model = wide_model(1, 3, 4000)
    before = values_of([model.get_layer("out").kernel])[0]
    apply(model, {"hidden": [0, 1, 2, 0, 1, 1]}, noise=0.3, seed=0)
    after = values_of([model.get_layer("out").kernel])[0]
    assert np.array_equal(after[2], before[2])
    for copies in ([0, 3], [1, 4, 5]):
        parent = before[copies[0]]
        noise = after[copies] - parent / len(copies)
        assert np.allclose(noise.std(axis=1) / parent.std(), 0.3, rtol=0.05)
        assert np.allclose(noise.sum(axis=0), 0, atol=1e-5 * np.abs(parent).max())


def test_the_siblings_of_a_split_read_by_uncorrelated_weights_with_the_usual_noise():
    model = wide_model(1, 2, 4000)
    kernel = model.get_layer("out").kernel
    kernel.assign(values_of([kernel])[0] - 1)
    apply(model, {"hidden": [0, 1, 1]}, noise=GrowthPolicy(1).noise, seed=0)
    _, first, second = values_of([kernel])[0]
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_units_that_no_weight_reads_get_their_noise_where_they_are_made():
    query, key = keras.Input((3, 5)), keras.Input((4, 5))
    made = [layers.Dense(4, use_bias=False, name=name)(x) for name, x in (("query", query), ("key", key))]
    model = keras.Model([query, key], layers.Dot(axes=2)(made))
    (group,) = find_groups(model)
    apply(model, {group.name: [0, 1, 2, 3, 3]}, noise=0.5, seed=0)
    for name in ("query", "key"):
        kernel = values_of([model.get_layer(name).kernel])[0]
        assert not np.allclose(kernel[:, 3], kernel[:, 4])


def test_siblings_that_a_single_weight_reads_do_not_stay_alike():
    vector = keras.Input((3,))
    model = keras.Model(vector, layers.Dense(1, name="out")(layers.Dense(4, name="hidden")(vector)))
    randomize(model)
    before = values_of([model.get_layer("out").kernel])[0]
    apply(model, {"hidden": [0, 1, 2, 3, 3]}, noise=0.5, seed=0)
    after = values_of([model.get_layer("out").kernel])[0]
    assert not np.allclose(after[3], after[4]) and np.allclose(after[3] + after[4], before[3])
