"""A board's latency and energy as the budget of an edit."""

import keras
import numpy as np
import pytest
from keras import layers

import cgap_keras
from cgap_keras import zoo
from tflite_export import fpga

ARRAY = "ma_arria10_200mhz"


def free_groups(model):
    return [group for group in cgap_keras.find_groups(model) if not group.frozen]


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "mobilenet"])
@pytest.mark.parametrize("currency", [fpga.latency_ms, fpga.dram_energy_mj])
def test_the_cost_of_widths_is_that_of_the_model_with_them(name, currency):
    model, rng, cost = zoo.get(name)(), np.random.default_rng(0), currency(ARRAY)
    groups = free_groups(model)
    widths = {group.name: int(rng.integers(1, group.size + 1)) for group in groups}
    built = cgap_keras.rebuild(model, {group.name: range(widths[group.name]) for group in groups})
    width_cost = cgap_keras.Budget(1.0, cost).cost_of(model, groups)
    assert width_cost(widths) == cost(built) == getattr(fpga.estimate(built, ARRAY), currency.__name__)
    assert width_cost() == cost(model) > cost(built)


def test_widths_come_to_be_multiples_of_what_the_array_takes():
    """32 maps at once, and a memory that nobody waits for: every layer of VGG-16 that is narrowed keeps a multiple."""
    array = fpga.accelerator(ARRAY, unroll={"of": 32, "ox": 4, "oy": 4}, dram_gb_per_s=1000.0, dma_bits=8192)
    model, cost = zoo.vgg16(), fpga.latency_ms(array)
    groups, rng = free_groups(model), np.random.default_rng(0)
    budget = cgap_keras.Budget(0.6 * cost(model), cost)
    scores = {group.name: rng.random(group.size) for group in groups}
    plan, finished = cgap_keras.PruningPolicy(budget, steps=1).propose(groups, scores, budget.cost_of(model, groups))
    # The first layer reads three maps and takes next to no time; the second reads its maps one by one.
    narrowed = {name: len(units) for name, units in plan.items() if name != "stage1_conv1"}
    assert finished and len(narrowed) > 10 and all(units % 32 == 0 for units in narrowed.values())
    assert cost(cgap_keras.rebuild(model, plan)) <= budget.amount


def test_a_model_whose_shapes_do_not_tell_is_built():
    """A convolution with as many groups as maps holds a width in no shape."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, groups=8, name="each")(layers.Conv2D(8, 3, name="first")(image))
    model, cost = keras.Model(image, layers.Conv2D(4, 1, name="last")(x)), fpga.latency_ms(ARRAY)
    width_cost = cgap_keras.Budget(1.0, cost).cost_of(model, free_groups(model))
    # To build a copy takes long, so no whole curves are asked for.
    assert not width_cost.is_stepwise
    assert width_cost({"first": 4}) == cost(cgap_keras.rebuild(model, {"first": range(4)}))


def test_an_unknown_accelerator_is_refused_before_training():
    with pytest.raises(ValueError, match="`accelerator` must be one of .*ma_arria10_150mhz"):
        fpga.latency_ms("tpu")


def test_a_network_is_pruned_until_its_engines_fit_the_device():
    """ResNet-20 with an engine a layer: 272,474 weights of 16 bits, and rows of pixels, on a Zynq of 140 BRAM36."""
    model, streaming = zoo.resnet20(), fpga.Dataflow("engines", 100.0, 16, 16, device="xc7z020")
    share, groups = fpga.device_share(streaming), free_groups(model)
    before = fpga.estimate(model, streaming)
    assert share(model) == before.resources.share == before.bram / 140 > 1 and not before.fits
    budget, rng = cgap_keras.Budget(1.0, share), np.random.default_rng(0)
    scores = {group.name: rng.random(group.size) for group in groups}
    plan, finished = cgap_keras.PruningPolicy(budget, 1).propose(groups, scores, budget.cost_of(model, groups))
    after = fpga.estimate(cgap_keras.rebuild(model, plan), streaming)
    assert finished and after.fits and after.resources.share <= 1 < before.resources.share
