"""Rankings across groups: what is compared with what, and by which measure."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from cgap_keras import cost, find_groups, rebuild
from cgap_keras.policy import GrowthPolicy, PruningPolicy, WidthCost
from cgap_keras.policy.ranking import Ranking, normalized

# No test looks at weights, and JAX compiles an initializer for each shape.
ZEROS = {"kernel_initializer": "zeros"}


def alike(sizes=(8, 4, 6, 12)):
    """Convolutions with a normalisation, and dense layers: two groups of each kind."""
    a, b, c, d = sizes
    x = image = keras.Input((4, 4, 2))
    for name, filters in (("conv_a", a), ("conv_b", b)):
        x = layers.Conv2D(filters, 3, padding="same", name=name, **ZEROS)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    # Between the two kinds lies one that is like neither: its units are read by a kernel over dense rows.
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1, name="last", use_bias=False, **ZEROS)(x))
    for name, units in (("dense_c", c), ("dense_d", d)):
        x = layers.Dense(units, activation="relu", name=name, **ZEROS)(x)
    model = keras.Model(image, layers.Dense(2, name="out", **ZEROS)(x))
    groups = tuple(g for g in find_groups(model) if not g.frozen and g.name != "last")
    return model, groups, WidthCost(model, groups)


@pytest.fixture(scope="module")
def prepared():
    return alike()


def scores_of(groups, seed, scales=(1.0, 1.0, 1.0, 1.0)):
    rng = np.random.default_rng(seed)
    return {g.name: scale * rng.uniform(0.1, 1.0, g.size) for g, scale in zip(groups, scales, strict=True)}


def left_out(plan, groups):
    """The share of each group that a plan leaves out."""
    return {g.name: 1 - len(plan.get(g.name, range(g.size))) / g.size for g in groups}


seeds = st.integers(0, 2**16)


@settings(max_examples=30)
@given(seed=seeds, share=st.floats(0.4, 0.9))
def test_a_local_ranking_takes_the_same_share_of_every_group(prepared, seed, share):
    _, groups, width_cost = prepared
    # However the saliencies of the groups differ.
    scores = scores_of(groups, seed, scales=(1.0, 1e3, 1e-3, 1.0))
    policy = PruningPolicy(int(share * width_cost()), 1, round_to=1, scope="local", normalize="none")
    shares = left_out(policy.propose(groups, scores, width_cost)[0], groups)
    for a in groups:
        for b in groups:
            # To the nearest unit of each.
            assert abs(shares[a.name] - shares[b.name]) <= 0.5 / a.size + 0.5 / b.size + 1e-9


@settings(max_examples=30)
@given(seed=seeds, share=st.floats(0.4, 0.9))
def test_an_isomorphic_ranking_compares_within_kinds_alone(prepared, seed, share):
    _, groups, width_cost = prepared
    options = {"steps": 1, "round_to": 1, "normalize": "none", "floor": 0.0}
    policy = PruningPolicy(int(share * width_cost()), scope="isomorphic", **options)
    # A scale that both groups of a kind share changes nothing, and within a kind the less salient units go first.
    plain = scores_of(groups, seed)
    scaled = {name: (1e3 if name.startswith("conv") else 1.0) * x for name, x in plain.items()}
    plan, _ = policy.propose(groups, plain, width_cost)
    assert policy.propose(groups, scaled, width_cost)[0] == plan
    for kind in ("conv", "dense"):
        members = [g for g in groups if g.name.startswith(kind)]
        kept = {g.name: plan.get(g.name, range(g.size)) for g in members}
        gone = [plain[g.name][u] for g in members for u in range(g.size) if u not in kept[g.name]]
        # Each group keeps its best unit whatever it is worth.
        worst = [x for g in members for x in np.sort(plain[g.name][list(kept[g.name])])[:-1]]
        assert max(gone, default=0) <= min(worst, default=np.inf)
    removed = {
        k: sum(left_out(plan, groups)[g.name] * g.size for g in groups if g.name.startswith(k))
        for k in ("conv", "dense")
    }
    assert abs(removed["conv"] / 12 - removed["dense"] / 18) <= 0.5 / 12 + 0.5 / 18 + 1e-9


@settings(max_examples=20)
@given(seed=seeds)
def test_one_set_of_all_is_the_order_of_saliency(prepared, seed):
    _, groups, _ = prepared
    scores = scores_of(groups, seed)
    candidates = {name: [(x[u], (int(u),)) for u in np.argsort(x)] for name, x in scores.items()}
    expected = sorted((x, name, (unit,)) for name, row in scores.items() for unit, x in enumerate(row))
    assert Ranking().order(groups, candidates) == [entry[1:] for entry in expected]


def test_what_saliencies_are_divided_by():
    scores = {"a": np.array([1.0, 3.0]), "b": np.array([10.0, 10.0, 40.0]), "dead": np.zeros(3)}
    expected = {
        "mean": ([0.5, 1.5], [0.5, 0.5, 2.0]),
        "max": ([1 / 3, 1.0], [0.25, 0.25, 1.0]),
        "l2": (np.array([1, 3]) / np.sqrt(10), np.array([1, 1, 4]) / np.sqrt(18)),
        "none": ([1.0, 3.0], [10.0, 10.0, 40.0]),
    }
    for kind, (a, b) in expected.items():
        normal = normalized(scores, kind)
        assert np.allclose(normal["a"], a, rtol=1e-15) and np.allclose(normal["b"], b, rtol=1e-15)
        assert np.array_equal(normal["dead"], np.zeros(3) if kind == "none" else np.ones(3))
    assert np.array_equal(scores["a"], [1.0, 3.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_saliencies_that_cannot_be_ranked_are_refused_by_name(bad):
    with pytest.raises(ValueError, match="group 'a'.*Received: saliencies="):
        normalized({"a": np.array([1.0, bad])})
    if bad == -1:
        assert normalized({"a": np.array([1.0, bad])}, "none")["a"][1] == bad


def test_saliency_for_the_same_price():
    """Of two groups of equal saliency, the one whose units are dear gives some up first, and gets some last."""
    model, groups, width_cost = alike((8, 8, 6, 6))
    scores = {g.name: np.ones(g.size) for g in groups}
    now, cheapest, dearest = cost(model).params, None, None
    each = {g.name: cost(rebuild(model, {g.name: [*range(g.size), 0]})).params - now for g in groups}
    cheapest, dearest = min(each, key=each.get), max(each, key=each.get)
    shrunk, _ = PruningPolicy(now - 1, 1, per_cost=True).propose(groups, scores, width_cost)
    grown, _ = GrowthPolicy(now + each[cheapest], per_cost=True).propose(groups, scores, width_cost)
    assert set(shrunk) == {dearest} and set(grown) == {cheapest} and len(set(each.values())) > 1
    # A unit that is worth exactly what it costs is worth as much as any other: the groups come in their own order.
    fair = {name: each[name] * x for name, x in scores.items()}
    candidates = Ranking(per_cost=True, normalize="none").weigh(groups, fair, width_cost)
    assert all(np.array_equal(x, np.ones_like(x)) for x in candidates.values())
