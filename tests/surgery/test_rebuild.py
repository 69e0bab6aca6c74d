"""`rebuild`: a new model, the old one untouched, every option kept."""

import keras
import numpy as np
import pytest
from keras import layers

from cgap_keras import apply, find_groups, rebuild
from cgap_keras.surgery import copy_model
from tests.graphs import MODELS
from tests.models import (
    build,
    config_of,
    difference,
    facts_of_layers,
    facts_of_model,
    random_inputs,
    randomize,
    run_model,
    same_values,
    values_of,
)

pytestmark = pytest.mark.usefixtures("quick_weights")

WIDTHS = ("filters", "units", "batch_shape")


def growth(model):
    return {g.name: [*range(g.size), 0] for g in find_groups(model) if not g.frozen}


def configs(model, without=()):
    """`{name: configuration}` of all layers, nested models taken apart."""
    return {
        layer.name: {key: str(value) for key, value in layer.get_config().items() if key not in without}
        for layer in model._flatten_layers()
        if not isinstance(layer, keras.Model)
    }


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_untouched(name):
    model = build(name)
    inputs = random_inputs(model)
    before = facts_of_model(model, inputs)
    new = rebuild(model, growth(model), noise=0.1, seed=0)
    assert facts_of_model(model, inputs) == before
    for variable in new.variables:
        variable.assign(variable + 1 if "float" in variable.dtype else variable)
    assert facts_of_model(model, inputs) == before


@pytest.mark.parametrize("name", MODELS)
def test_a_copy_is_equal_and_apart(name):
    model = build(name)
    new = copy_model(model)
    assert same_values(values_of(model.variables), values_of(new.variables))
    assert [v.path for v in new.weights] == [v.path for v in model.weights] and type(new) is type(model)
    assert not {id(v) for v in model.variables} & {id(v) for v in new.variables}
    assert not {id(x) for x in model._flatten_layers()} & {id(x) for x in new._flatten_layers()}
    if name != "siamese":  # Keras runs the right tower first, and numbers the calls of a copy by that.
        assert config_of(new) == config_of(model)


@pytest.mark.parametrize("name", MODELS)
def test_every_option_but_the_width_is_kept(name):
    model = build(name)
    new = rebuild(model, growth(model))
    assert configs(new, WIDTHS) == configs(model, WIDTHS)
    assert [x.name for x in new._flatten_layers()] == [x.name for x in model._flatten_layers()]


def own_activation(x):
    return keras.ops.tanh(2 * x)


class OwnRegularizer(keras.regularizers.Regularizer):
    def __call__(self, x):
        return 0.25 * keras.ops.sum(keras.ops.abs(x))

    def get_config(self):
        return {}


class OwnInitializer(keras.initializers.Initializer):
    """Remembers how often it was asked for values."""

    calls = 0

    def __call__(self, shape, dtype=None, **kwargs):
        type(self).calls += 1
        return keras.ops.ones(shape, dtype)

    def get_config(self):
        return {}


def test_objects_that_are_not_registered_go_through():
    vector = keras.Input((4,), name="vector")
    options = {"kernel_regularizer": OwnRegularizer(), "kernel_initializer": OwnInitializer()}
    x = layers.Dense(5, activation="relu", bias_initializer=OwnInitializer(), **options, name="hidden")(vector)
    x = layers.Dense(4, activation=own_activation, **options, name="own")(x)
    model = keras.Model(vector, layers.Dense(3, name="out")(x))
    randomize(model)
    inputs, calls = random_inputs(model), OwnInitializer.calls
    expected, losses = run_model(model, inputs), penalties(model)
    new = rebuild(model, {"hidden": [4, 3, 2, 1, 0]})
    apply(model, {"hidden": [4, 3, 2, 1, 0]})
    assert OwnInitializer.calls == calls
    for edited in (new, model):
        assert difference(expected, run_model(edited, inputs)) < 1e-5
        assert edited.get_layer("own").activation is own_activation
        assert isinstance(edited.get_layer("hidden").kernel_regularizer, OwnRegularizer)
        assert isinstance(edited.get_layer("hidden").bias_initializer, OwnInitializer)
        assert np.allclose(penalties(edited), losses, rtol=1e-5)


def penalties(model):
    return [keras.ops.convert_to_numpy(x) for x in model.losses]


def test_all_options_of_a_layer_survive_both_ways():
    image = keras.Input((7, 8, 2), name="image")
    x = layers.Conv2D(
        4,
        (3, 2),
        strides=(1, 2),
        padding="same",
        activation="silu",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.3, seed=3),
        bias_initializer="ones",
        kernel_regularizer=keras.regularizers.L1L2(0.01, 0.02),
        bias_regularizer="l2",
        activity_regularizer=keras.regularizers.L2(0.03),
        kernel_constraint=keras.constraints.MaxNorm(2.0, axis=(0, 1, 2)),
        bias_constraint="non_neg",
        name="conv",
    )(image)
    x = layers.BatchNormalization(momentum=0.7, epsilon=0.01, gamma_initializer="zeros", name="norm")(x)
    x = layers.DepthwiseConv2D(2, dilation_rate=2, depthwise_regularizer="l1", name="depthwise")(x)
    x = layers.LeakyReLU(negative_slope=0.07, name="leaky")(layers.SpatialDropout2D(0.25, seed=7, name="drop")(x))
    x = layers.Dense(5, use_bias=False, kernel_constraint="unit_norm", name="dense")(layers.Flatten(name="flat")(x))
    model = keras.Model(image, layers.Dense(3, name="out")(x), name="all_options")
    randomize(model)
    expected, plan = configs(model, WIDTHS), growth(model)
    new = rebuild(model, plan)
    apply(model, plan)
    assert configs(new, WIDTHS) == configs(model, WIDTHS) == expected
    assert config_of(new) == config_of(model)
    assert (new.get_layer("conv").filters, new.get_layer("dense").units) == (5, 6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    image = keras.Input((5, 6, 2), name="image")
    x = layers.Conv2D(4, 3, dtype=policy, name="conv")(image)
    x = layers.ReLU(dtype=policy)(layers.BatchNormalization(dtype=policy, name="norm")(x))
    x = layers.Dense(5, dtype=policy, activation="relu", name="hidden")(layers.Flatten(dtype=policy)(x))
    model = keras.Model(image, layers.Dense(3, dtype="float32", name="out")(x))
    randomize(model)
    inputs = random_inputs(model)
    expected, plan = run_model(model, inputs), {"conv": [3, 2, 1, 0, 0], "hidden": [0, 1, 2, 3, 4, 4]}
    new = rebuild(model, plan)
    apply(model, plan)
    for edited in (new, model):
        assert {layer.name: layer.dtype_policy.name for layer in edited.layers if layer.weights} == {
            "conv": policy,
            "norm": policy,
            "hidden": policy,
            "out": "float32",
        }
        assert {v.dtype for v in edited.weights} == {"float32"}
        assert edited.get_layer("hidden").output.dtype == policy.removeprefix("mixed_")
        assert difference(expected, run_model(edited, inputs)) < 3e-2


def test_frozen_layers_stay_frozen():
    model = build("residual")
    for name in ("stem", "bn1_a", "project"):
        model.get_layer(name).trainable = False
    expected = {layer.name: layer.trainable for layer in model.layers}
    names = [v.path for v in model.trainable_variables]
    new = rebuild(model, growth(model))
    apply(model, growth(model))
    for edited in (new, model):
        assert {layer.name: layer.trainable for layer in edited.layers} == expected
        assert [v.path for v in edited.trainable_variables] == names


def test_frozen_models_stay_frozen():
    model = build("nested_functional")
    block = model.get_layer("block")
    block.trainable = False
    block.get_layer("inner_a").trainable = True
    model.trainable_variables  # noqa: B018
    new = rebuild(model, growth(model))
    assert not new.get_layer("block").trainable and new.get_layer("block").get_layer("inner_a").trainable
    assert [v.path for v in new.trainable_variables] == [v.path for v in model.trainable_variables]
    model.trainable = False
    assert not copy_model(model).trainable


def own_loss(y, p):
    return keras.ops.mean(keras.ops.square(y - p))


def test_the_new_model_is_not_compiled():
    model = build("chain")
    model.compile(keras.optimizers.Adam(), loss=own_loss, metrics=["mae"])
    x = random_inputs(model, batch=4)[0]
    model.train_on_batch(x, np.zeros((4, 3), "float32"))
    before = facts_of_model(model, [x])
    new = rebuild(model, growth(model))
    assert not new.compiled and getattr(new, "optimizer", None) is None
    assert model.compiled and facts_of_model(model, [x]) == before
    assert same_values(values_of(copy_model(model).variables), values_of(model.variables))
    new.compile("sgd", loss="mse")
    assert np.isfinite(new.train_on_batch(x, np.zeros((4, 3), "float32")))


class OwnTraining(keras.Model):
    """A functional model with a training step of its own."""

    def train_step(self, *args):
        return super().train_step(*args)


class OwnConstructor(keras.Model):
    """A functional model that builds its own graph."""

    def __init__(self, width):
        vector = keras.Input((3,), name="vector")
        super().__init__(vector, layers.Dense(2, name="out")(layers.Dense(width, name="hidden")(vector)), name="own")
        self.width = width


def test_subclasses_of_functional_models():
    vector = keras.Input((3,), name="vector")
    model = OwnTraining(vector, layers.Dense(2, name="out")(layers.Dense(4, name="hidden")(vector)), name="own")
    assert type(rebuild(model, {"hidden": [0, 1]})) is OwnTraining
    model = OwnConstructor(4)
    randomize(model)
    inputs = random_inputs(model)
    expected = run_model(model, inputs)
    new = rebuild(model, {"hidden": [0, 1, 2, 3, 3]})
    apply(model, {"hidden": [3, 3, 2, 1, 0]})
    assert isinstance(model, OwnConstructor) and isinstance(new, OwnConstructor) and new.name == model.name == "own"
    assert difference(expected, run_model(new, inputs)) < 1e-5
    assert difference(expected, run_model(model, inputs)) < 1e-5


def test_names_of_inputs_are_kept():
    named, unnamed = keras.Input((3,), name="named"), keras.Input((3,))
    x = layers.Dense(4, name="hidden")(layers.Add()([named, unnamed]))
    model = keras.Model([named, unnamed], layers.Dense(2)(x))
    assert [x.name for x in rebuild(model, {"hidden": [0]}).layers] == [x.name for x in model.layers]
    model = keras.Model({"named": named}, layers.Dense(2)(layers.Dense(4, name="hidden")(named)))
    new = rebuild(model, {"hidden": [0]})
    assert list(new.input) == ["named"] and new({"named": np.ones((2, 3), "float32")}).shape == (2, 2)


def test_layers_inside_layers_are_copied():
    sequence = keras.Input((5, 3), name="sequence")
    x = layers.TimeDistributed(layers.Dense(4, name="inside"), name="each")(sequence)
    x = layers.Bidirectional(layers.LSTM(2, name="lstm"), name="both")(x)
    y = layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], name="cells")(sequence)
    z = layers.Flatten()(layers.MultiHeadAttention(2, 3, name="attention")(sequence, sequence))
    x = layers.Dense(6, activation="relu", name="hidden")(layers.Concatenate()([x, y, z]))
    model = keras.Model(sequence, layers.Dense(3, name="out")(x))
    randomize(model)
    inputs = random_inputs(model)
    expected = run_model(model, inputs)
    new = rebuild(model, {"hidden": [5, 4, 3, 2, 1, 0, 0]})
    assert not {id(v) for v in model.variables} & {id(v) for v in new.variables}
    assert not {id(x) for x in model._flatten_layers()} & {id(x) for x in new._flatten_layers()}
    assert difference(expected, run_model(new, inputs)) < 1e-5
    apply(model, {"hidden": [0, 1, 2, 3, 4, 5, 5]})
    assert difference(expected, run_model(model, inputs)) < 1e-5


def test_operations_without_a_layer_are_copied():
    vector = keras.Input((4,), name="vector")
    x = layers.Dense(5, name="hidden")(keras.ops.cast(vector * 2 + 1, "float32"))
    model = keras.Model(vector, keras.ops.softmax(layers.Dense(3, name="out")(x), axis=-1))
    randomize(model)
    inputs = random_inputs(model)
    new = rebuild(model, {"hidden": [0, 1, 2, 3, 4, 4]})
    assert difference(run_model(model, inputs), run_model(new, inputs)) < 1e-5


def test_the_state_of_random_layers_goes_on():
    model = build("sequential")
    inputs = random_inputs(model)
    model(inputs[0], training=True)
    first, second = rebuild(model, {"hidden": [0, 1, 2, 3, 4]}), copy_model(model)
    apply(model, {"hidden": [0, 1, 2, 3, 4]})
    outputs = [keras.ops.convert_to_numpy(m(inputs[0], training=True)) for m in (model, first, second)]
    assert np.array_equal(outputs[0], outputs[1]) and np.array_equal(outputs[0], outputs[2])


def test_a_layer_shared_by_a_nested_model_is_copied_once():
    shared, inner, vector = layers.Dense(4, name="shared"), keras.Input((3,)), keras.Input((3,))
    nested = keras.Model(inner, shared(inner), name="nested")
    model = keras.Model(vector, layers.Add()([nested(vector), shared(vector)]))
    new = copy_model(model)
    assert new.get_layer("shared") is new.get_layer("nested").get_layer("shared")
    assert len(new.variables) == 2


def test_an_edit_leaves_no_trace_in_the_graph():
    model = build("chain")
    nodes = {x.name: (len(x._inbound_nodes), len(x._outbound_nodes)) for x in model.layers}
    before = facts_of_layers(model)
    with pytest.raises(ValueError, match="conv_a"):
        apply(model, {"conv_a": [9]})
    assert facts_of_layers(model) == before
    apply(model, {"conv_a": [0, 1]})
    apply(model, {"conv_a": [0, 1, 1]})
    apply(model, {"conv_b": [0, 1]})
    assert {x.name: (len(x._inbound_nodes), len(x._outbound_nodes)) for x in model.layers} == nodes
    changed = set()
    for (_, old, *_), (_, new, *_) in zip(before, facts_of_layers(model), strict=True):
        changed |= {name for name in {*old, *new} if old.get(name) != new.get(name)}
    variables = {"_kernel", "_bias", "bias", "gamma", "beta", "moving_mean", "moving_variance"}
    listings = {"_trainable_variables", "_non_trainable_variables", "_layers", "_functional"}
    # TensorFlow keeps lists of the same; JAX marks the model.
    changed = {name for name in changed if not name.startswith(("_self_", "_jax_state"))}
    written = {"filters", "_input_spec", "_build_shapes_dict"}
    assert changed - variables - listings == written


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch's register of parameters")
def test_pytorch_knows_the_parameters_after_an_edit():
    model = build("chain")
    model.compile("sgd", loss="mse")
    x = random_inputs(model, batch=4)[0]
    model.train_on_batch(x, np.zeros((4, 3), "float32"))
    apply(model, {"conv_a": [0, 1, 1]})
    for layer in model.layers:
        assert {id(p) for p in layer.parameters()} == {id(v.value) for v in layer.variables}
    assert {id(p) for p in model.parameters()} == {id(v.value) for v in model.variables}
