"""The methods of an experiment: where each begins, and that they are compared at one cost."""

import functools
import json

import keras
import numpy as np
import pytest

import cgap_keras
from cgap_keras.zoo import digits_cnn, lenet5
from examples import comparison, plot, recipes
from examples.methods import METHODS, Task

SETTINGS = {
    **{"model": "digits_cnn", "seed": 0, "currency": "macs", "capacity": 0.4, "target": 0.2, "seed_width": 0.25},
    **{"growth_rate": 0.5, "prune_steps": 5, "fine_tune": 0.5, "every": None, "criterion": "taylor", "structure": None},
    **{"dense_share": 0.3, "normalize": None, "scope": None, "round_to": None, "new_units": None, "noise": None},
    **{"growth_share": None},
}


def begin(method, steps=1000, build=digits_cnn, **settings):
    return METHODS[method](Task({**SETTINGS, **settings}, build, steps))


def widths(network):
    return {group.name: group.size for group in cgap_keras.find_groups(network) if not group.frozen}


def test_the_script_knows_every_method_and_every_network():
    for table in (METHODS, comparison._USED, plot._STYLES):
        assert tuple(table) == recipes.METHODS
    assert set(recipes.RECIPES) == set(cgap_keras.zoo.names())


def test_dense_is_the_full_network():
    network, editor = begin("dense")
    assert widths(network) == widths(digits_cnn()) and editor is None


@pytest.mark.parametrize("currency", ["macs", "params"])
@pytest.mark.parametrize("build", [digits_cnn, lenet5])
def test_narrow_costs_at_most_the_target_and_the_next_width_more(build, currency):
    network, _ = begin("narrow", build=build, currency=currency)
    full, found = widths(build()), widths(network)
    target = 0.2 * getattr(cgap_keras.cost(build()), currency)
    assert getattr(cgap_keras.cost(network), currency) <= target
    # The least larger width that changes any layer.
    share = min((found[name] + 0.5) / full[name] for name in full) + 1e-6
    assert widths(build(width=share)) != found
    assert getattr(cgap_keras.cost(build(width=share)), currency) > target


def test_narrow_refuses_a_target_below_one_unit_a_layer():
    with pytest.raises(ValueError, match="--target must leave at least one unit a layer, .* Received: --target=1e-05"):
        begin("narrow", target=1e-5)


@pytest.mark.parametrize("kind", ["row", "file"])
def test_retrain_takes_the_widths_and_draws_new_weights(kind, tmp_path):
    # One group wider than the full network's, one narrower, and one as wide.
    wanted = {"conv1": 40, "conv2": 5, "conv3": 128}
    if kind == "row":
        path = tmp_path / "row.json"
        path.write_text(json.dumps({"model": "digits_cnn", "widths": wanted}))
    else:
        path = tmp_path / "network.keras"
        plan = {"conv1": [*range(32), *range(8)], "conv2": [*range(5)]}
        cgap_keras.rebuild(digits_cnn(), cgap_keras.Plan(plan)).save(path)
    network, editor = begin("retrain", structure=str(path))
    assert widths(network) == wanted and editor is None
    kernel = network.get_layer("conv1").kernel.numpy()
    assert len(np.unique(kernel)) == kernel.size
    again, _ = begin("retrain", structure=str(path))
    assert not np.array_equal(again.get_layer("conv1").kernel.numpy(), kernel)


def test_retrain_refuses_the_row_of_another_network(tmp_path):
    (tmp_path / "row.json").write_text(json.dumps({"model": "lenet5", "widths": {}}))
    with pytest.raises(ValueError, match="--structure must be a row of the same network. .* of lenet5"):
        begin("retrain", structure=str(tmp_path / "row.json"))


@pytest.mark.parametrize("method", ["prune", "cgap"])
def test_a_run_too_short_for_its_edits_is_refused(method):
    with pytest.raises(ValueError, match="The run is too short: . edits .* Received: 8 steps, --fine_tune=0.5"):
        begin(method, steps=8)


def test_growth_takes_as_many_edits_as_foreseen():
    """With every layer growing alike, the seed passes the capacity at the last of them, and not before."""
    network, editor = begin("cgap", steps=1000)
    sizes, count = widths(network), 0
    capacity = 0.4 * cgap_keras.cost(digits_cnn()).macs
    while cgap_keras.cost(cgap_keras.rebuild(network, _grown(widths(network), sizes))).macs < capacity:
        sizes, count = {name: units + -(-units // 2) for name, units in sizes.items()}, count + 1
    expected = 500 // (count + 5)
    assert (
        editor.settings
        == cgap_keras.CGaP(
            cgap_keras.Budget(capacity, "macs"),
            cgap_keras.Budget(capacity / 2, "macs"),
            every=cgap_keras.Steps(expected),
            seed=0,
        ).settings
    )


def test_prune_trains_the_dense_network_before_its_first_edit():
    """Of 600 steps before fine-tuning a quarter is for the dense network; five edits share the rest."""
    _, editor = begin("prune", steps=1000, fine_tune=0.4, dense_share=0.25)
    assert editor.settings["every"] == cgap_keras.Pruning(1, every=cgap_keras.Steps(90, wait=150)).settings["every"]


def _grown(before, after):
    return cgap_keras.Plan({name: [unit % before[name] for unit in range(after[name])] for name in before})


def test_build_is_called_with_a_width_alone():
    network, _ = begin("dense", build=functools.partial(digits_cnn, input_shape=(12, 12, 2), num_classes=3))
    assert network.input_shape == (None, 12, 12, 2) and network.output_shape == (None, 3)
    assert isinstance(network, keras.Model)


@pytest.mark.parametrize("method", ["prune", "cgap"])
def test_what_is_asked_of_the_ranking_reaches_every_phase(method):
    asked = {"normalize": "max", "scope": "local"}
    _, editor = begin(method, **asked, round_to=2, growth_rate=0.3, prune_steps=4)
    *growth, (_, pruning) = editor.settings["phases"]
    assert len(growth) == (method == "cgap")
    for phase in (pruning, *(fields for _, fields in growth)):
        assert {name: phase[name] for name in asked} == asked
    assert (pruning["round_to"], pruning["steps"]) == (2, 4) and all(fields["rate"] == 0.3 for _, fields in growth)
    _, defaults = begin(method)[1].settings["phases"][-1]
    assert (defaults["normalize"], defaults["round_to"]) == ("mean", 8)


def test_what_is_asked_of_new_units_reaches_growth():
    def new_units(**asked):
        (_, growth), _ = begin("cgap", **asked)[1].settings["phases"]
        return growth["new_units"], growth["noise"]

    assert new_units(new_units="zero", noise=2.0) == ("zero", 2.0)
    assert new_units() == ("split", 0.5)


def test_growth_may_have_a_share_of_the_steps_and_pruning_begins_after_another():
    # 600 steps before fine-tuning: two growths in 60, then none until 240, then two prunings.
    _, editor = begin(
        "cgap", fine_tune=0.4, growth_share=0.1, dense_share=0.4, growth_rate=1.0, capacity=1.0, prune_steps=2
    )
    growth, pruning = editor.settings["every"]
    assert growth == ["Steps", {"batches": 30, "wait": 0}]
    assert pruning == ["Steps", {"batches": 180, "wait": 180}]
    # Pruning that would begin before growth has ended begins then.
    _, editor = begin("cgap", fine_tune=0.4, growth_share=0.5, dense_share=0.1, prune_steps=2)
    assert editor.settings["every"][1] == ["Steps", {"batches": 150, "wait": 0}]
