"""Taking a growth back: every weight, statistic and optimizer slot is what it was."""

import json

import keras
import numpy as np
import pytest
from keras import optimizers

from cgap_keras import Plan, apply, find_groups
from cgap_keras.surgery.gather import NEW_UNITS
from tests.graphs import MODELS
from tests.models import build, difference, random_inputs, run_model, same_values, values_of

# JAX compiles every new shape.
NAMES = ("residual", "flatten_mixed", "depthwise") if keras.backend.backend() == "jax" else tuple(MODELS)


def growth(groups, rng):
    """Up to two copies of each unit, in any order."""
    plan = {}
    for group in groups:
        if not group.frozen:
            more = rng.integers(0, group.size, size=rng.integers(1, 2 * group.size))
            plan[group.name] = rng.permutation([*range(group.size), *more]).tolist()
    return plan


@pytest.mark.parametrize("new_units", NEW_UNITS)
@pytest.mark.parametrize("name", NAMES)
def test_a_growth_is_taken_back(name, new_units):
    model = build(name)
    inputs, before = random_inputs(model), values_of(model.variables)
    outputs, groups = run_model(model, inputs), find_groups(model)
    report = apply(model, growth(groups, np.random.default_rng(0)), new_units=new_units, noise=0.3, seed=0)
    assert any(a.shape != b.shape for a, b in zip(before, values_of(model.variables), strict=True)) or not report.plan
    back = apply(model, report.inverse)
    assert difference(before, values_of(model.variables)) < 1e-6
    assert difference(outputs, run_model(model, inputs)) < 1e-5
    assert back.widths_after == report.widths_before and find_groups(model) == groups


@pytest.mark.usefixtures("quick_weights")
def test_optimizer_state_is_what_it_was():
    model = build("chain")
    x = random_inputs(model, batch=8)
    model.compile(optimizers.AdamW(0.01, use_ema=True), loss="mse", run_eagerly=keras.backend.backend() != "jax")
    model.train_on_batch(x[0], np.zeros_like(run_model(model, x)[0]))
    before = values_of(model.optimizer.variables)
    report = apply(model, growth(find_groups(model), np.random.default_rng(1)))
    assert not same_values(before, values_of(model.optimizer.variables))
    apply(model, report.inverse)
    assert difference(before, values_of(model.optimizer.variables)) < 1e-6


def test_what_was_learned_since_stays():
    """Copies that were trained apart bring their outgoing weights home."""
    model = build("chain")
    group = next(group for group in find_groups(model) if not group.frozen)
    report = apply(model, {group.name: [*range(group.size), 0]})
    axis = next(axis for axis in group.consumers)
    kernel = next(v for v in model.variables if v.path == axis.variable)
    value = np.moveaxis(np.array(kernel), axis.axis, 0)
    value[-1] += 1.0
    kernel.assign(np.moveaxis(value, 0, axis.axis))
    apply(model, report.inverse)
    np.testing.assert_allclose(np.moveaxis(np.array(kernel), axis.axis, 0)[0], value[0] + value[-1], rtol=1e-6)


def test_an_inverse_is_refused_once_the_group_has_changed():
    model = build("chain")
    group = next(group for group in find_groups(model) if not group.frozen)
    report = apply(model, {group.name: [*range(group.size), 0]})
    apply(model, {group.name: range(group.size)})
    before = values_of(model.variables)
    with pytest.raises(ValueError, match="edited since"):
        apply(model, report.inverse)
    assert same_values(before, values_of(model.variables))


def test_a_pruning_has_no_inverse_and_a_growth_has_one_that_json_keeps():
    model = build("chain")
    group = next(group for group in find_groups(model) if not group.frozen)
    inverse = apply(model, {group.name: [*range(group.size), 0]}).inverse
    assert Plan.from_json(inverse.to_json()) == inverse and hash(Plan.from_json(inverse.to_json())) == hash(inverse)
    assert inverse != Plan(dict(inverse)) and Plan(dict(inverse)) != inverse
    assert json.loads(inverse.to_json())["new_units"] == "split"
    assert apply(model, inverse).inverse is None
    assert apply(model, {group.name: range(1, group.size)}).inverse is None
