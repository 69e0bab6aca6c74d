"""Growth and pruning: how many units, which, until what."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgap_keras import apply, cost, find_groups
from cgap_keras.policy import GrowthPolicy, PruningPolicy, WidthCost
from cgap_keras.policy.selection import count_by_group, longest_prefix, normalize
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
        ranked = normalize(scores)
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
    name=names, seed=seeds, share=st.floats(0.05, 1.2), steps=st.integers(1, 4), floor=st.sampled_from((0.0, 0.25, 0.5))
)
def test_pruning_removes_the_worst_and_no_more_than_it_has_to(prepared, name, seed, share, steps, floor):
    groups, width_cost = prepared[name]
    scores, target = random_scores(groups, seed), max(1, int(width_cost() * share))
    plan, finished = PruningPolicy(target, steps, floor).propose(groups, scores, width_cost)
    now = width_cost()
    if plan is None:
        assert finished and (now <= target or all(g.size == max(1, np.ceil(floor * g.size)) for g in groups))
        return
    assert now > target
    kept, ranked = {g.name: set(range(g.size)) for g in groups}, normalize(scores)
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
    goal = max(target, now * (target / now) ** (1 / steps))
    _, last = max(removed)
    assert width_cost({n: len(x) + (n == last) for n, x in kept.items()}) > goal


@pytest.mark.parametrize("name", ["chain", "residual", "concat"])
def test_pruning_reaches_its_target_in_the_steps_it_has(name):
    model = build(name)
    target, steps, edits = int(0.5 * cost(model).params), 3, 0
    sizes = [cost(model).params]
    finished = False
    while not finished:
        groups = free_groups(model)
        policy = PruningPolicy(target, steps)
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


@pytest.mark.parametrize("name", ["chain", "residual", "tied_twice"])
def test_a_unit_always_remains(name):
    model = build(name)
    for edits in range(12):
        groups = free_groups(model)
        plan, finished = PruningPolicy(1, 1, floor=0.0).propose(
            groups, random_scores(groups, edits), WidthCost(model, groups), edits
        )
        if plan is None:
            break
        apply(model, plan)
        assert not finished
    assert finished and {g.size for g in find_groups(model) if g.name != "out"} == {1}


def test_dead_groups_and_equal_scores_are_no_obstacle():
    groups = free_groups(build("chain"))
    width_cost = WidthCost(build("chain"), groups)
    scores = {"conv_a": np.zeros(4), "conv_b": np.ones(5)}
    plan, _ = GrowthPolicy(10_000).propose(groups, scores, width_cost)
    assert {n: len(i) for n, i in plan.items()} == {"conv_a": 6, "conv_b": 8}
    plan, _ = PruningPolicy(100).propose(groups, scores, width_cost)
    assert plan and all(0 < len(i) for i in plan.values())


def test_scores_are_compared_as_multiples_of_their_groups_mean():
    scores = {"a": np.array([1.0, 3.0]), "b": np.array([10.0, 10.0, 40.0]), "dead": np.zeros(3)}
    normal = normalize(scores)
    assert np.array_equal(normal["a"], [0.5, 1.5]) and np.array_equal(normal["b"], [0.5, 0.5, 2.0])
    assert np.array_equal(normal["dead"], np.ones(3)) and np.array_equal(scores["a"], [1.0, 3.0])


@given(st.lists(st.booleans(), max_size=20).map(lambda x: sorted(x, reverse=True)))
def test_longest_prefix(fits):
    assert longest_prefix(fits, lambda count: all(fits[:count])) == sum(fits)


def test_counting():
    assert count_by_group([("a", 0), ("b", 1), ("a", 2)]) == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GrowthPolicy(0), "`capacity`.*capacity=0"),
        (lambda: GrowthPolicy(10, 0.0), "`growth_rate`.*growth_rate=0.0"),
        (lambda: GrowthPolicy(10, 1.5), "`growth_rate`.*growth_rate=1.5"),
        (lambda: PruningPolicy(0), "`target`.*target=0"),
        (lambda: PruningPolicy(10, 0), "`prune_steps`.*prune_steps=0"),
        (lambda: PruningPolicy(10, 1, 1.0), "`floor`.*floor=1.0"),
        (lambda: PruningPolicy(10, 1, -0.1), "`floor`.*floor=-0.1"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
