"""Noise: seeded, of the size it says, and nobody else's randomness is disturbed."""

import random

import keras
import numpy as np
import pytest
from keras import layers

from cgap_keras import apply, find_groups, rebuild
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


def test_noise_is_on_what_makes_new_units_and_nowhere_else():
    quiet, noisy = build("residual"), build("residual")
    plan = {"block1_b": [0, 1, 2, 3, 4, 5, 5, 2]}
    apply(quiet, plan)
    apply(noisy, plan, noise=0.5, seed=0)
    changed = {}
    for a, b in zip(quiet.weights, noisy.weights, strict=True):
        places = np.argwhere(values_of([a])[0] != values_of([b])[0])
        if len(places):
            changed[a.path] = set(places[:, -1].tolist())
    # All three convolutions that make the units, at the two that are new.
    assert changed == {f"{name}/kernel": {6, 7} for name in ("block1_b", "project", "block2_b")}


@pytest.mark.parametrize("new_units", ["split", "zero"])
def test_noise_is_relative_to_the_parents_weights(new_units):
    vector = keras.Input((4000,))
    model = keras.Model(vector, layers.Dense(1)(layers.Dense(3, name="hidden")(vector)))
    randomize(model)
    kernel = model.get_layer("hidden").kernel
    kernel.assign(values_of([kernel])[0] * np.array([1, 10, 100], "float32") + 1)
    before = values_of([kernel])[0]
    apply(model, {"hidden": [0, 1, 2, 0, 1, 2]}, new_units=new_units, noise=0.3, seed=0)
    after = values_of([model.get_layer("hidden").kernel])[0]
    noise = after[:, 3:] - before
    assert np.array_equal(after[:, :3], before)
    assert np.allclose(noise.std(axis=0) / before.std(axis=0), 0.3, rtol=0.05)
    assert np.all(np.abs(noise.mean(axis=0)) < 0.02 * before.std(axis=0))
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.1
