"""`WidthCost`: what a model would cost, against the cost of the model that is then built."""

import keras
import numpy as np
import pytest
from keras import layers

from cgap_keras import cost, find_groups, rebuild
from cgap_keras.policy import WidthCost
from tests.graphs import MODELS, Reverse
from tests.models import build

pytestmark = pytest.mark.usefixtures("quick_weights")


# The cost of a layer with a `call` of its own is not known.
@pytest.mark.parametrize("name", [name for name in MODELS if name != "own_layers"])
def test_the_cost_of_widths_is_the_cost_of_the_model_of_these_widths(name):
    model, rng = build(name), np.random.default_rng(0)
    groups = find_groups(model)
    free = [g for g in groups if not g.frozen]
    for known in (groups, free):
        for currency in ("params", "macs"):
            assert WidthCost(model, known, currency)() == getattr(cost(model), currency)
    plan = {g.name: rng.integers(0, g.size, rng.integers(1, 2 * g.size)).tolist() for g in free}
    expected, widths = cost(rebuild(model, plan)), {n: len(index) for n, index in plan.items()}
    for currency in ("params", "macs"):
        assert WidthCost(model, free, currency)(widths) == getattr(expected, currency)
        # What is left out keeps its width.
        first = {free[0].name: widths[free[0].name]}
        alone = cost(rebuild(model, {free[0].name: plan[free[0].name]}))
        assert WidthCost(model, groups, currency)(first) == getattr(alone, currency)


def test_layers_of_several_parts_and_layers_without_weights_count():
    sequence = keras.Input((4, 3))
    x = layers.Bidirectional(layers.LSTM(2), name="both")(sequence)
    y = layers.Flatten()(layers.MultiHeadAttention(2, 3, name="attention")(sequence, sequence))
    z = layers.Flatten()(layers.Dot(axes=2, name="dot")([sequence, sequence]))
    x = layers.Dense(5, activation="relu", name="hidden")(layers.Concatenate()([x, y, z]))
    model = keras.Model(sequence, layers.Dense(2, name="out")(x))
    groups, new = find_groups(model), rebuild(model, {"hidden": [0, 1]})
    assert next(row.macs for row in cost(model).layers if row.path == "dot") > 0
    for currency in ("params", "macs"):
        assert WidthCost(model, groups, currency)({"hidden": 2}) == getattr(cost(new), currency)


def test_layers_of_several_kernels_count():
    image = keras.Input((6, 8, 2))
    x = layers.SeparableConv2D(5, 3, depth_multiplier=2, name="separable")(layers.Conv2D(4, 1, name="conv")(image))
    x = layers.Reshape((4, 30))(x)
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True), name="both")(layers.Dense(4, name="step")(x))
    x = layers.LSTM(5, name="lstm")(x)
    model = keras.Model(image, layers.Dense(2, name="out")(x))
    groups = [g for g in find_groups(model) if not g.frozen]
    plan = {g.name: [*range(g.size), 0, 0][g.index % 3 :] for g in groups}
    assert set(plan) == {"conv", "separable", "step", "both", "lstm"}
    for currency in ("params", "macs"):
        expected = getattr(cost(rebuild(model, plan)), currency)
        assert WidthCost(model, groups, currency)({n: len(index) for n, index in plan.items()}) == expected


def test_units_out_of_order_count():
    vector = keras.Input((5,))
    x = Reverse(name="reverse")(layers.Dense(4, name="hidden")(vector))
    model = keras.Model(vector, layers.Dense(3, name="out")(x))
    assert WidthCost(model, find_groups(model))() == cost(model).params == 5 * 4 + 4 + 4 * 3 + 3


def test_an_unknown_currency_is_refused():
    model = build("chain")
    with pytest.raises(ValueError, match="params, macs. Received: currency='flops'"):
        WidthCost(model, find_groups(model), "flops")
