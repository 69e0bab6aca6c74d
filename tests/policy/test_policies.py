"""Growth and pruning: how many units, which, until what."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from cgap_keras import apply, cost, find_groups
from cgap_keras.policy import Budget, GrowthPolicy, PruningPolicy, WidthCost
from cgap_keras.policy.lattice import aligned_below, efficient, is_aligned
from cgap_keras.policy.ranking import normalized
from cgap_keras.policy.schedules import SCHEDULES
from cgap_keras.policy.selection import longest_prefix
from tests.models import build

pytestmark = pytest.mark.usefixtures("quick_weights")


def free_groups(model):
    return [g for g in find_groups(model) if not g.frozen]


def random_scores(groups, seed):
    rng = np.random.default_rng(seed)
    return {g.name: rng.permutation(g.size) + rng.uniform(0.1, 0.9, g.size) for g in groups}


@pytest.fixture(scope="module")
def prepared():
    """Groups and costs of some models, made once."""
    models = {name: build(name) for name in ("chain", "residual", "concat", "nested_functional", "tied_twice")}
    return {name: (free_groups(m), WidthCost(m, free_groups(m))) for name, m in models.items()}


names = st.sampled_from(("chain", "residual", "concat", "nested_functional", "tied_twice"))
seeds = st.integers(0, 2**16)


@settings(max_examples=60)
@given(name=names, seed=seeds, room=st.floats(0, 1.5), rate=st.floats(0.01, 1))
def test_growth_keeps_within_capacity_and_adds_the_best(prepared, name, seed, room, rate):
    groups, width_cost = prepared[name]
    scores, capacity = random_scores(groups, seed), int(width_cost() * (1 + room))
    plan, finished = GrowthPolicy(capacity, rate).propose(groups, scores, width_cost)
    if plan is None:
        # Not even the best unit of all fits.
        ranked = normalized(scores)
        best = max(groups, key=lambda g: ranked[g.name].max())
        assert finished and width_cost({best.name: best.size + 1}) > capacity
        return
    assert width_cost({n: len(index) for n, index in plan.items()}) <= capacity
    for group in groups:
        if group.name in plan:
            index = plan[group.name]
            siblings = index[group.size :]
            assert index[: group.size] == tuple(range(group.size)) and 0 < len(siblings) == len(set(siblings))
            assert len(siblings) <= np.ceil(rate * group.size)
            best = np.argsort(-scores[group.name])[: len(siblings)]
            assert set(siblings) == set(best.tolist())
    if not finished:
        assert set(plan) == {g.name for g in groups}
        assert all(len(plan[g.name]) == g.size + np.ceil(rate * g.size) for g in groups)


@settings(max_examples=60)
@given(
    name=names,
    seed=seeds,
    share=st.floats(0.25, 1.2),
    steps=st.integers(1, 4),
    floor=st.sampled_from((0.0, 0.25, 0.5)),
    schedule=st.sampled_from(sorted(SCHEDULES)),
)
def test_pruning_removes_the_worst_and_no_more_than_it_has_to(prepared, name, seed, share, steps, floor, schedule):
    groups, width_cost = prepared[name]
    scores, target = random_scores(groups, seed), max(least_cost(groups, width_cost), int(width_cost() * share))
    policy = PruningPolicy(target, steps, schedule, round_to=1, floor=floor)
    plan, finished = policy.propose(groups, scores, width_cost)
    now = width_cost()
    if plan is None:
        assert finished and now <= target
        return
    assert now > target
    kept, ranked = {g.name: set(range(g.size)) for g in groups}, normalized(scores)
    for name_, index in plan.items():
        assert list(index) == sorted(set(index)) and len(index) >= 1
        kept[name_] = set(index)
    removed = []
    for group in groups:
        gone = sorted(set(range(group.size)) - kept[group.name], key=lambda u, g=group: scores[g.name][u])
        assert len(kept[group.name]) >= max(1, np.ceil(floor * group.size))
        assert gone == np.argsort(scores[group.name])[: len(gone)].tolist()
        removed += [(ranked[group.name][u], group.name) for u in gone]
    after = width_cost({n: len(x) for n, x in kept.items()})
    assert finished == (after <= target)
    # With one unit less removed, the step would miss its goal.
    _, last = max(removed)
    assert width_cost({n: len(x) + (n == last) for n, x in kept.items()}) > max(
        target, goal(now, target, steps)[schedule]
    )


def least_cost(groups, width_cost):
    return width_cost({g.name: 1 for g in groups})


def goal(now, target, steps):
    """What is left after the first step, by the definition of each schedule."""
    return {
        "exponential": now * (target / now) ** (1 / steps),
        "linear": now - (now - target) / steps,
        "polynomial": target + (now - target) * (1 - 1 / steps) ** 3,
    }


@pytest.mark.parametrize("name", ["chain", "residual", "concat"])
def test_pruning_reaches_its_target_in_the_steps_it_has(name):
    model = build(name)
    target, steps, edits = int(0.5 * cost(model).params), 3, 0
    sizes = [cost(model).params]
    finished = False
    while not finished:
        groups = free_groups(model)
        policy = PruningPolicy(target, steps, round_to=1)
        plan, finished = policy.propose(groups, random_scores(groups, edits), WidthCost(model, groups), edits)
        apply(model, plan)
        edits += 1
        sizes.append(cost(model).params)
    assert sizes[-1] <= target and edits <= steps and sizes == sorted(sizes, reverse=True)


def test_growth_reaches_its_capacity():
    model, sizes = build("concat"), []
    capacity, finished = 3 * cost(model).params, False
    while not finished:
        groups = free_groups(model)
        plan, finished = GrowthPolicy(capacity).propose(
            groups, random_scores(groups, len(sizes)), WidthCost(model, groups)
        )
        if plan is not None:
            apply(model, plan)
        sizes.append(cost(model).params)
    groups = free_groups(model)
    assert sizes == sorted(sizes) and 0.8 * capacity < sizes[-1] <= capacity


@pytest.mark.parametrize("floor", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("name", ["chain", "residual", "tied_twice"])
def test_down_to_a_unit_of_each_group_and_no_further(name, floor):
    model, finished, edits = build(name), False, 0
    target = least_cost(free_groups(model), WidthCost(model, free_groups(model)))
    while not finished:
        groups = free_groups(model)
        policy = PruningPolicy(target, 1, floor=floor)
        plan, finished = policy.propose(groups, random_scores(groups, edits), WidthCost(model, groups), edits)
        apply(model, plan)
        edits += 1
    groups = free_groups(model)
    assert {g.size for g in find_groups(model) if g.name != "out"} == {1} and cost(model).params == target
    for ask in (
        PruningPolicy(target - 1).check,
        lambda *x: PruningPolicy(target - 1).propose(x[0], random_scores(x[0], 0), x[1]),
    ):
        with pytest.raises(ValueError, match=f"costs {target}. Received: target={target - 1}"):
            ask(groups, WidthCost(model, groups))
    PruningPolicy(target).check(groups, WidthCost(model, groups))


@given(width=st.integers(1, 300), exponent=st.integers(0, 5))
def test_widths_that_may_be_kept(width, exponent):
    round_to = 2**exponent
    below = aligned_below(width, round_to)
    assert below == [w for w in reversed(range(1, width)) if is_aligned(w, round_to)]
    if width > 1:
        # Never further than a quarter away, and any width of a small group.
        assert below[0] >= 0.75 * width - 1e-9 or below[0] == width - 1
        assert below[-1] == 1 and set(range(1, min(width, 8))) <= set(below)
    assert is_aligned(width, 1) and is_aligned(width, 8) == (width % multiple_for_eight(width) == 0)
    assert is_aligned(4 * round_to * width, round_to)


def multiple_for_eight(width):
    """What `round_to=8` means, in words: multiples of 8 from 32 on, of 4 from 16, of 2 from 8."""
    return 8 if width >= 32 else 4 if width >= 16 else 2 if width >= 8 else 1


@pytest.fixture(scope="module")
def wide():
    """Groups of widths on the lattice and off it."""
    x = vector = keras.Input((3,))
    for width in (41, 20, 11, 64, 5):
        x = layers.Dense(width, name=f"dense_{width}", kernel_initializer="zeros")(x)
    model = keras.Model(vector, layers.Dense(2, name="out")(x))
    return free_groups(model), WidthCost(model, free_groups(model))


@settings(max_examples=40)
@given(seed=seeds, share=st.floats(0.05, 1.0), steps=st.integers(1, 3), exponent=st.integers(0, 4))
def test_pruning_keeps_widths_on_the_lattice(wide, seed, share, steps, exponent):
    groups, width_cost = wide
    scores, target, round_to = random_scores(groups, seed), int(width_cost() * share), 2**exponent
    policy = PruningPolicy(target, steps, round_to=round_to, scope="local")
    plan, finished = policy.propose(groups, scores, width_cost)
    if plan is None:
        assert width_cost() <= target
        return
    widths = {g.name: len(plan.get(g.name, range(g.size))) for g in groups}
    for group in groups:
        assert is_aligned(widths[group.name], round_to) and widths[group.name] >= 0.25 * group.size
        kept = set(plan.get(group.name, range(group.size)))
        assert kept == set(np.argsort(-scores[group.name])[: len(kept)].tolist())
    assert finished == (width_cost(widths) <= target)


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        # Eight units at once: the hull is w / 8 from 8 on, and what is narrower costs as much as 8.
        (lambda w: math.ceil(w / 8), [24, 16, 8]),
        # A memory that takes 1 % of a pass for each unit changes nothing, but frees the units below the first pass.
        (lambda w: math.ceil(w / 8) + 0.01 * w, [24, 16, *range(8, 0, -1)]),
        # With as much as a pass for each unit the hull is 9 w / 8 from 8 on. 8 + j units cost 10 + j, which is
        # 1 - j / 8 above it, less than half a unit from j = 4 on.
        (lambda w: math.ceil(w / 8) + w, [*range(24, 19, -1), *range(16, 11, -1), *range(8, 0, -1)]),
        (lambda w: 3 * w, list(range(24, 0, -1))),
        # Two layers, of which one works on 8 units at once and the other on 12. At 12 the first idles in 4 of 16
        # places: ceil(12 / 8) + ceil(12 / 12) = 3, where the hull from (8, 2) to (24, 5) has 2.75 and a unit costs
        # 0.1875. At 16 it is 2 + 2 = 4, and the hull 3.5.
        (lambda w: math.ceil(w / 8) + math.ceil(w / 12), [24, 8]),
    ],
)
def test_widths_that_waste_no_more_than_half_a_unit(cost, expected):
    assert efficient({w: cost(w) for w in range(1, 25)}) == expected
    assert efficient({24: 7.0}) == [24]


class Passes:
    """A cost in passes of eight units, that tells itself at any widths."""

    def __call__(self, model):
        raise AssertionError("a model was built")

    def at_widths(self, model):
        return lambda widths: sum(math.ceil(units / 8) for units in widths.values())


@pytest.mark.parametrize("round_to", [1, 8])
@pytest.mark.parametrize("per_cost", [False, True])
def test_where_the_cost_falls_in_steps_no_step_is_left_half_used(wide, round_to, per_cost):
    groups, _ = wide
    for share in (0.9, 0.6, 0.4):
        budget = Budget(share * Passes().at_widths(None)({g.name: g.size for g in groups}), Passes())
        width_cost, scores = budget.cost_of(None, groups), random_scores(groups, seed=3)
        policy = PruningPolicy(budget, 1, round_to=round_to, per_cost=per_cost, floor=0.0)
        plan, finished = policy.propose(groups, scores, width_cost)
        widths = {name: len(units) for name, units in plan.items()}
        assert finished and width_cost(widths) <= budget.amount
        assert widths and all(units % 8 == 0 for units in widths.values())
        for name, units in plan.items():
            assert set(units) == set(np.argsort(-scores[name])[: len(units)].tolist())


def test_chunks_are_ranked_by_what_their_units_are_worth_on_average():
    vector = keras.Input((3,))
    x = layers.Dense(10, name="a")(vector)
    model = keras.Model(vector, layers.Dense(2, name="out")(layers.Dense(10, name="b")(x)))
    groups = free_groups(model)
    # The worst unit stands beside a good one: together they are worth more than the two that are equal.
    scores = {"a": np.array([0.0] + 9 * [9.0]), "b": np.array(2 * [4.0] + 8 * [9.0])}
    width_cost = WidthCost(model, groups)
    for round_to, name in ((1, "a"), (8, "b")):
        policy = PruningPolicy(width_cost() - 1, 1, round_to=round_to, normalize="none")
        plan, finished = policy.propose(groups, scores, width_cost)
        assert set(plan) == {name} and finished


def test_dead_groups_and_equal_scores_are_no_obstacle():
    groups = free_groups(build("chain"))
    width_cost = WidthCost(build("chain"), groups)
    scores = {"conv_a": np.zeros(4), "conv_b": np.ones(5)}
    plan, _ = GrowthPolicy(10_000).propose(groups, scores, width_cost)
    assert {n: len(i) for n, i in plan.items()} == {"conv_a": 6, "conv_b": 8}
    plan, _ = PruningPolicy(100).propose(groups, scores, width_cost)
    assert plan and all(0 < len(i) for i in plan.values())


@given(st.lists(st.booleans(), max_size=20).map(lambda x: sorted(x, reverse=True)))
def test_longest_prefix(fits):
    assert longest_prefix(fits, lambda count: all(fits[:count])) == sum(fits)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GrowthPolicy(0), "`capacity`.*capacity=0"),
        (lambda: GrowthPolicy(10, 0.0), "`growth_rate`.*rate=0.0"),
        (lambda: GrowthPolicy(10, 1.5), "`growth_rate`.*rate=1.5"),
        (lambda: PruningPolicy(0), "`target`.*target=0"),
        (lambda: PruningPolicy(10, 0), "`prune_steps`.*steps=0"),
        (lambda: GrowthPolicy(10, new_units="random"), "`new_units`.*new_units='random'"),
        (lambda: GrowthPolicy(10, noise=-1), "`noise`.*noise=-1"),
        (lambda: GrowthPolicy(10, scope="layer"), "`scope`.*global, local, isomorphic.*scope='layer'"),
        (lambda: PruningPolicy(10, normalize="sum"), "`normalize`.*mean, max, l2, none.*normalize='sum'"),
        (lambda: PruningPolicy(10, schedule="cubic"), "`schedule`.*schedule='cubic'"),
        (lambda: PruningPolicy(10, round_to=6), "`round_to`.*round_to=6"),
        (lambda: PruningPolicy(10, round_to=0), "`round_to`.*round_to=0"),
        (lambda: PruningPolicy(10, floor=1.0), "`floor`.*floor=1.0"),
        (lambda: PruningPolicy(10, floor=-0.1), "`floor`.*floor=-0.1"),
        (lambda: PruningPolicy("10"), "`target`.*target='10'"),
        (lambda: Budget(-1), "`amount`.*amount=-1"),
        (lambda: Budget(True), "`amount`.*amount=True"),
        (lambda: Budget(1, "flops"), "`currency`.*params, macs, or a function.*currency='flops'"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
