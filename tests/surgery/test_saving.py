"""Edited models on disk, and what they say of their shapes."""

import io
import json
import re
import warnings

import keras
import numpy as np
import pytest

from cgap_keras import apply, find_groups, rebuild, register_rule
from tests.graphs import MODELS, OwnCall, OwnConvolution, SameConvolution, Unknown
from tests.models import build, config_of, random_inputs, randomize, run_model, same_values, values_of

pytestmark = pytest.mark.usefixtures("quick_weights")

OWN = {kind.__name__: kind for kind in (OwnCall, OwnConvolution, SameConvolution, Unknown)}


def edit(model):
    return {
        g.name: [*range(g.size), 0] if g.index % 2 else [*range(g.size - 1, 0, -1)]
        for g in find_groups(model)
        if not g.frozen
    }


def shapes(model):
    """What every layer says of itself."""
    found = {}
    for layer in model._flatten_layers():
        found[layer.name] = (
            {x.shape for node in layer._inbound_nodes for x in node.outputs},
            layer.count_params(),
            str(layer.input_spec),
            json.dumps(layer.get_build_config()),
        )
    return found


def nodes_in_use(model):
    """The shapes of the tensors of a model's own graph; a nested model has a node that only made it."""
    return [
        x.shape
        for depth in sorted(model._nodes_by_depth)
        for node in model._nodes_by_depth[depth]
        for x in node.outputs
    ]


@pytest.mark.parametrize("name", MODELS)
def test_an_edited_model_survives_saving_to_the_bit(name, tmp_path):
    model = build(name)
    inputs, plan = random_inputs(model), edit(model)
    new = rebuild(model, plan)
    apply(model, plan)
    for edited in (model, new):
        edited.save(tmp_path / "model.keras")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=OWN)
        assert same_values(values_of(loaded.weights), values_of(edited.weights))
        assert all(
            np.array_equal(a, b) for a, b in zip(run_model(loaded, inputs), run_model(edited, inputs), strict=True)
        )
        assert config_of(loaded) == config_of(edited)
        assert shapes(loaded) == shapes(edited)


@pytest.mark.parametrize("name", MODELS)
def test_both_ways_to_edit_say_the_same_of_every_layer(name):
    model = build(name)
    plan = edit(model)
    new = rebuild(model, plan)
    apply(model, plan)
    assert shapes(new) == shapes(model) and (name == "siamese" or config_of(new) == config_of(model))
    assert same_values(values_of(new.variables), values_of(model.variables))
    assert new.output_shape == model.output_shape and new.input_shape == model.input_shape
    assert model.count_params() == sum(int(np.prod(v.shape)) for v in model.weights)


def test_weights_files_fit_the_edited_architecture(tmp_path):
    model = build("residual")
    apply(model, {"block1_b": [0, 2, 2], "stem": [3, 1]})
    model.save_weights(tmp_path / "edited.weights.h5")
    other = rebuild(build("residual", seed=1), {"block1_b": [0, 1, 2], "stem": [0, 1]})
    other.load_weights(tmp_path / "edited.weights.h5")
    assert same_values(values_of(other.variables), values_of(model.variables))


def test_shapes_and_summary_after_an_edit():
    model = build("chain")
    apply(model, {"conv_a": [0, 1, 2, 3, 3, 3], "conv_b": [1, 0]})
    assert {x.name: x.output.shape for x in model.layers[1:]} == {
        "conv_a": (None, 5, 6, 6),
        "bn_a": (None, 5, 6, 6),
        "relu_a": (None, 5, 6, 6),
        "pool_a": (None, 2, 3, 6),
        "conv_b": (None, 1, 2, 2),
        "gap": (None, 2),
        "out": (None, 3),
    }
    params = 9 * 2 * 6 + 4 * 6 + 4 * 6 * 2 + 2 + 2 * 3 + 3
    text = io.StringIO()
    model.summary(print_fn=lambda line: text.write(f"{line}\n"))
    total = re.search(r"Total params: .*?([\d,]+)", re.sub(r"\x1b\[[0-9;]*m", "", text.getvalue()))
    assert model.count_params() == params == int(total.group(1).replace(",", ""))
    assert "(None, 5, 6, 6)" in text.getvalue() and "(None, 1, 2, 2)" in text.getvalue()


def test_a_nested_model_takes_its_new_input():
    model = build("nested_functional")
    apply(model, {"outer": [0, 1, 2, 3, 3], "block/inner_a": [0]})
    block = model.get_layer("block")
    assert block.input_shape == block.output_shape == (None, 5, 6, 5)
    assert block.get_layer("inner_input").batch_shape == (None, 5, 6, 5)
    assert nodes_in_use(block)[0] == (None, 5, 6, 5)
    assert block(np.zeros((2, 5, 6, 5), "float32")).shape == (2, 5, 6, 5)
    alone = build("nested_sequential")
    apply(alone, {"outer": [0, 1]})
    assert alone.get_layer("stack").input_shape == (None, 5, 6, 2)
    assert alone.get_layer("stack")(np.zeros((2, 5, 6, 2), "float32")).shape == (2, 2, 3, 3)


class Plain(keras.layers.Layer):
    """A dense layer without a `get_config`: Keras saves it by the arguments it was made with."""

    def __init__(self, units, activation="relu", **kwargs):
        super().__init__(**kwargs)
        self.units, self.activation = units, keras.activations.get(activation)

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")

    def call(self, inputs):
        return self.activation(inputs @ self.kernel)


@register_rule(Plain)
def plain(call, labels, tracer):
    tracer.consume(call, call.operation.kernel, 0, tracer.along(labels[0], -1, call.inputs[0].shape[-1]))
    return [tracer.produce(call, call.operation.kernel, 1, key="units")[None]]


def test_a_layer_that_is_saved_by_its_arguments(tmp_path):
    vector = keras.Input((3,))
    x = Plain(5, activation="tanh", name="second")(Plain(4, name="first")(vector))
    model = keras.Model(vector, keras.layers.Dense(2, name="out")(x))
    randomize(model)
    inputs, plan = random_inputs(model), {"first": [0, 1, 2, 3, 3], "second": [4, 2]}
    new = rebuild(model, plan)
    apply(model, plan)
    for edited in (new, model):
        assert (edited.get_layer("first").units, edited.get_layer("second").units) == (5, 2)
        edited.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Plain": Plain})
        assert all(
            np.array_equal(a, b) for a, b in zip(run_model(loaded, inputs), run_model(edited, inputs), strict=True)
        )
        assert loaded.get_layer("second").activation is keras.activations.tanh
