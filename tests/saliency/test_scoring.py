"""Scores from weights, against sums written out by hand."""

import keras
import numpy as np
import pytest

from cgap_keras import find_groups
from cgap_keras.saliency import Criterion, score, score_weights
from cgap_keras.structure import find_variables
from tests.graphs import MODELS
from tests.models import build

pytestmark = pytest.mark.usefixtures("quick_weights")

EVERYTHING = Criterion("everything", lambda slices: sum(abs(x).sum(axis=0) for x in slices.weights.values()))


def weights(model):
    return {path: keras.ops.convert_to_numpy(v.value) for path, v in find_variables(model).items()}


@pytest.mark.parametrize(("criterion", "power"), [("l1", 1), ("l2", 2)])
def test_a_filter_scores_by_its_kernel_alone(criterion, power):
    model = build("chain")
    scores, w = score_weights(model, find_groups(model), criterion), weights(model)
    assert np.allclose(scores["conv_a"], (np.abs(w["conv_a/kernel"]) ** power).sum(axis=(0, 1, 2)), rtol=1e-6)
    assert np.allclose(scores["conv_b"], (np.abs(w["conv_b/kernel"]) ** power).sum(axis=(0, 1, 2)), rtol=1e-6)
    assert np.allclose(scores["out"], (np.abs(w["out/kernel"]) ** power).sum(axis=0), rtol=1e-6)
    assert {x.dtype for x in scores.values()} == {np.dtype(float)}


def test_tied_units_score_together():
    model = build("residual")
    scores, w = score_weights(model, find_groups(model), "l1"), weights(model)
    made = [np.abs(w[f"{name}/kernel"]).sum(axis=(0, 1, 2)) for name in ("block1_b", "project", "block2_b")]
    assert np.allclose(scores["block1_b"], sum(made), rtol=1e-6)
    model = build("tied_twice")
    scores, w = score_weights(model, find_groups(model), "l1"), weights(model)
    a, b = (np.abs(w[f"{name}/kernel"]).sum(axis=(0, 1, 2)) for name in ("conv_a", "conv_b"))
    assert np.allclose(scores["conv_b"], a + b[:2] + b[2:], rtol=1e-6)


def test_what_belongs_to_a_unit_counts_with_it():
    model = build("depthwise")
    scores, w = score_weights(model, find_groups(model), EVERYTHING), weights(model)
    expected = np.abs(w["conv_a/kernel"]).sum(axis=(0, 1, 2)) + np.abs(w["conv_a/bias"])
    expected = (
        expected + np.abs(w["dw_a/kernel"]).sum(axis=(0, 1, 3)) + np.abs(w["dw_a/bias"]).reshape(3, 2).sum(axis=1)
    )
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        expected = expected + np.abs(w[f"bn_a/{name}"]).reshape(3, 2).sum(axis=1)
    assert np.allclose(scores["conv_a"], expected, rtol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_every_group_has_a_score_a_unit(name):
    model = build(name)
    groups = find_groups(model)
    scores = score_weights(model, groups)
    assert {n: x.shape for n, x in scores.items()} == {g.name: (g.size,) for g in groups}
    assert all(np.all(x > 0) for x in scores.values())


def test_what_is_not_scored_adds_nothing():
    groups = find_groups(build("chain"))
    scores = score(groups, [(groups[0].producers[0].runs, np.arange(4.0))])
    assert scores["conv_a"].tolist() == [0, 1, 2, 3] and scores["conv_b"].tolist() == [0] * 5
