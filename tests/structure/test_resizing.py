"""`ResizableGraph`: the shapes at other widths are those of a model that is built with them."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from keras import layers

import cgap_keras
from cgap_keras.structure.graph import trace
from cgap_keras.structure.resizing import ResizableGraph
from tests import random_graphs
from tests.graphs import MODELS
from tests.models import build

pytestmark = pytest.mark.usefixtures("quick_weights")


def shapes(graph):
    """Path, and shapes in and out, of every call."""
    return [
        (call.path, *([edge.shape for edge in edges] for edges in (call.inputs, call.outputs))) for call in graph.calls
    ]


def check(model, seed):
    """Compares the graph at random widths with that of the model that has them."""
    rng, graph = np.random.default_rng(seed), ResizableGraph(model)
    groups = [group for group in cgap_keras.find_groups(model) if not group.frozen]
    widths = {group.name: int(rng.integers(1, 2 * group.size + 2)) for group in groups}
    plan = {g.name: [unit % g.size for unit in range(widths[g.name])] for g in groups if widths[g.name] != g.size}
    assert shapes(graph.at(widths)) == shapes(trace(cgap_keras.rebuild(model, plan)))
    assert shapes(graph.at({})) == shapes(trace(model))


@pytest.mark.parametrize("name", MODELS)
def test_the_models_of_the_tests(name):
    for seed in range(2):
        check(build(name), seed)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(random_graphs.programs())
def test_random_graphs(program):
    model = random_graphs.build(program)
    try:
        check(model, seed=0)
    except NotImplementedError as refusal:
        assert any(words in str(refusal) for words in ("several axes", "no order", "number of groups"))


def test_a_width_that_no_shape_shows_is_refused_by_name():
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, name="first")(image)
    model = keras.Model(image, layers.Conv2D(2, 1, name="last")(layers.Conv2D(4, 3, groups=4, name="each")(x)))
    with pytest.raises(NotImplementedError, match="'each' holds a width as its number of groups"):
        ResizableGraph(model)


def test_one_unit_alone_is_told_apart_from_sizes_of_one():
    vector = keras.Input((3,))
    model = keras.Model(vector, layers.Dense(2, name="out")(layers.Dense(1, name="narrow")(vector)))
    assert [call.outputs[0].shape for call in ResizableGraph(model).at({"narrow": 5}).calls] == [(None, 5), (None, 2)]
