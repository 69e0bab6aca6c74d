"""`Growth` and `Pruning` alone, and what all callbacks that edit have in common: budgets, settings."""

import keras
import numpy as np
import pytest

from cgap_keras import (
    Budget,
    CGaP,
    Growth,
    GrowthPolicy,
    Plateau,
    Pruning,
    PruningPolicy,
    Steps,
    StructureCallback,
    cost,
)
from cgap_keras.callbacks.backup.plain import fingerprint
from tests.callbacks.quick import QUICK, compiles_often
from tests.callbacks.test_cgap import check_history, fit, free_widths, network
from tests.models import same_values, values_of


def facts(model):
    return free_widths(model), cost(model).params


@compiles_often
def test_growth_and_then_pruning_in_two_calls_of_fit():
    model = network(**QUICK)
    growth, pruning = Growth(400, growth_rate=1.0, new_units="zero", seed=0), Pruning(200, steps=2)
    for callback in (growth, pruning):
        before = facts(model)
        fit(model, callback, epochs=4)
        check_history(callback, *before, model)
        assert callback.finished and "apply" not in vars(model.optimizer)
    assert {edit.kind for edit in growth.history} == {"grow"} and [e.kind for e in pruning.history] == ["prune"] * 2
    assert 300 < growth.history[-1].params_after <= 400 and cost(model).params <= 200


@compiles_often
def test_units_that_start_with_zeros_leave_the_function_alone():
    """`new_units` reaches `apply`: what a copy sends is zero right after the edit."""
    model, seen = network(**QUICK), []
    look = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(model.get_layer("out").kernel))
    model.get_layer("out").trainable = False
    model.compile("sgd", "mse", **QUICK)
    growth = Growth(400, new_units="zero", criterion="l1", seed=0)
    x = np.zeros((16, 4, 4, 2), "float32")
    model.fit(x, np.zeros((16, 2)), epochs=2, verbose=0, callbacks=[growth, look])
    (edit,) = growth.history
    new = len(edit.plan["top"]) - 5
    kernel = keras.ops.convert_to_numpy(seen[-1])
    assert new > 0 and np.all(kernel[-new:] == 0) and np.any(kernel[:-new] != 0)


def params_of(model):
    """A cost of the user's own, which happens to be what `cost` counts."""
    return cost(model).params


def test_a_function_as_a_budget_decides_as_the_count_that_it_is():
    ends = []
    for currency in ("params", params_of):
        keras.utils.set_random_seed(0)
        model = network(**QUICK)
        pruning = Pruning(Budget(90, currency), steps=1, criterion="l1")
        fit(model, pruning, epochs=2)
        ends.append([edit.plan for edit in pruning.history])
        assert pruning.finished and cost(model).params <= 90
    assert ends[0] == ends[1] and len(ends[0]) == 1


@compiles_often
def test_capacity_and_target_in_multiply_accumulates():
    model = network(**QUICK)
    now = cost(model).macs
    cgap = CGaP(Budget(2 * now, "macs"), Budget(now // 2, "macs"), 1.0, 1, criterion="l2", seed=0)
    fit(model, cgap, epochs=5)
    assert cgap.finished and cost(model).macs <= now // 2
    assert 1.5 * now < max(edit.macs_after for edit in cgap.history) <= 2 * now


@pytest.mark.parametrize("currency", ["params", params_of])
def test_a_target_below_one_unit_of_each_group_is_refused_before_training(currency):
    model = network(**QUICK)
    before = values_of(model.variables)
    # A convolution of 1 filter, its normalisation, two dense layers of 1 unit, the output.
    least = 2 * 9 + 2 + 2 + 2 + 4
    with pytest.raises(ValueError, match=f"`target` cannot be reached.*costs {least}.*Received: target={least - 1}"):
        fit(model, CGaP(Budget(300, currency), Budget(least - 1, currency)))
    assert same_values(before, values_of(model.variables)) and "apply" not in vars(model.optimizer)


def test_a_loss_that_has_diverged_is_told_at_the_edit():
    model = network(**QUICK)
    model.get_layer("hidden").kernel.assign(np.full((3, 4), np.nan))
    with pytest.raises(ValueError, match="the loss has diverged.*Received: saliencies="):
        fit(model, Pruning(100))


def other_cost(model):
    return 0


def settings(phase=None, **options):
    """What a callback says that it was made with."""
    return StructureCallback([phase or GrowthPolicy(Budget(99, params_of))], **options).settings


def test_settings_tell_all_that_a_callback_was_made_with():
    made = [
        settings(),
        settings(GrowthPolicy(Budget(99, other_cost))),
        settings(GrowthPolicy(99)),
        settings(GrowthPolicy(99, scope="local")),
        settings(GrowthPolicy(99, per_cost=True)),
        settings(PruningPolicy(99)),
        settings(PruningPolicy(99, round_to=4)),
        settings(PruningPolicy(99, schedule="linear")),
        settings(every=2),
        settings(every=Steps(2)),
        settings(every=Plateau()),
        settings(every=Plateau("loss")),
        settings(criterion="l1"),
        settings(seed=1),
    ]
    assert settings() == made[0] and fingerprint(made) is not None
    assert all(a != b for i, a in enumerate(made) for b in made[:i])
    assert "tests.callbacks.test_growth_and_pruning.params_of" in str(made[0])


def test_short_forms_are_what_they_say():
    phases = [GrowthPolicy(90, 0.3), PruningPolicy(50, 4)]
    assert CGaP(90, 50, 0.3, 4, seed=2).settings == StructureCallback(phases, seed=2).settings
    assert Growth(90, 0.3, "cgap").settings == StructureCallback([GrowthPolicy(90, 0.3, "cgap")]).settings
    policy = PruningPolicy(50, 4, "linear", 4)
    assert Pruning(50, 4, "linear", 4, every=2).settings == StructureCallback([policy], every=2).settings
    with pytest.raises(ValueError, match=r"`phases`.*phases=\[\]"):
        StructureCallback([])
