"""`trace`: a model as a flat list of calls."""

import keras
import pytest
from keras import layers

from cgap_keras.structure import trace
from tests.graphs import MODELS
from tests.models import build

pytestmark = pytest.mark.usefixtures("quick_weights")


@pytest.mark.parametrize("name", MODELS)
def test_every_edge_comes_from_somewhere(name):
    graph = trace(build(name))
    known = {edge.key for edge in graph.inputs}
    for call in graph.calls:
        assert all(edge.key in known for edge in call.inputs)
        fresh = {edge.key for edge in call.outputs}
        assert len(fresh) == len(call.outputs) and not fresh & known
        known |= fresh
    assert all(edge.key in known for edge in graph.outputs)


def test_nested_models_are_entered_at_each_call():
    paths = [call.path for call in trace(build("nested_functional")).calls]
    block = ["block/inner_a", "block/inner_b", "block/inner_add"]
    assert paths[:7] == ["outer", *block, *block] and paths[-1] == "out"


def test_a_shared_layer_appears_once_a_call():
    calls = [call for call in trace(build("siamese")).calls if call.path == "first"]
    assert len(calls) == 2 and calls[0].operation is calls[1].operation and calls[0].inputs != calls[1].inputs


def test_shapes_are_those_of_the_call_where_a_nested_model_is_called_on_another_size():
    inner = keras.Input((None, None, 2))
    nested = keras.Model(inner, layers.Conv2D(3, 3, name="conv")(inner), name="nested")
    small, large = keras.Input((4, 5, 2)), keras.Input((8, 9, 2))
    model = keras.Model([small, large], [nested(small), nested(large)])
    assert sorted(edge.shape for edge in trace(model).outputs) == [(None, 2, 3, 3), (None, 6, 7, 3)]
    assert nested.output_shape == (None, None, None, 3)


def test_arguments_hold_edges():
    a, b = keras.Input((3,)), keras.Input((3,))
    call = trace(keras.Model([a, b], layers.Add(name="add")([a, b]))).calls[-1]
    assert call.args == ([*call.inputs],) and [edge.shape for edge in call.inputs] == [(None, 3)] * 2
