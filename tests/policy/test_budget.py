"""What a model would cost: `WidthCost` against the model that is then built, and functions of the user's."""

import keras
import numpy as np
import pytest
from keras import layers

from cgap_keras import cost, find_groups, rebuild
from cgap_keras.policy import Budget, GrowthPolicy, PruningPolicy, WidthCost
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


class Counting:
    """The parameters of a model, as a user would count them, and how often they were asked for."""

    calls = 0

    def __call__(self, model):
        self.calls += 1
        return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@pytest.mark.parametrize("name", ["chain", "residual"])
def test_a_function_of_the_users_chooses_as_the_closed_form_does(name):
    model, rng, count = build(name), np.random.default_rng(0), Counting()
    groups = [g for g in find_groups(model) if not g.frozen]
    scores, now = {g.name: rng.uniform(0.1, 1, g.size) for g in groups}, cost(model).params
    for policy, amount in ((GrowthPolicy, 2 * now), (GrowthPolicy, now + now // 3), (PruningPolicy, now // 2)):
        plans = []
        for budget in (Budget(amount, count), Budget(amount)):
            count.calls = 0
            costs, chosen = budget.cost_of(model, groups), policy(budget, per_cost=True)
            chosen.check(groups, costs)
            plans.append(chosen.propose(groups, scores, costs))
            # A search by halves, what one more unit of each group costs, and the ends.
            units = sum(g.size for g in groups)
            assert count.calls <= np.ceil(np.log2(units)) + len(groups) + 4 and (count.calls > 0) == (
                budget.currency is count
            )
        assert plans[0] == plans[1] and plans[0][0]


def test_a_function_is_asked_once_for_the_same_widths():
    model, count = build("chain"), Counting()
    width_cost = Budget(1, count).cost_of(model, [g for g in find_groups(model) if not g.frozen])
    assert width_cost() == width_cost({"conv_a": 4}) == count(model)
    assert width_cost({"conv_a": 5}) == width_cost({"conv_a": 5, "conv_b": 5}) and count.calls == 3


@pytest.mark.parametrize(
    ("function", "kind"), [(lambda model: float("nan"), ValueError), (lambda model: None, TypeError)]
)
def test_a_function_that_returns_no_number_is_refused(function, kind):
    model = build("chain")
    with pytest.raises(kind):
        GrowthPolicy(Budget(9, function)).check((), Budget(9, function).cost_of(model, ()))
