"""Every layer family that has a rule, in a small model: what its groups are, and that edits keep the function."""

import pathlib
import re

import keras
import numpy as np
import pytest
from keras import layers, ops

from cgap_keras import find_groups, rebuild, register_rule
from tests.models import difference, random_inputs, randomize, run_model, same_values, values_of

pytestmark = pytest.mark.usefixtures("quick_weights")


def stack(shape, *parts):
    """A model of one layer after the other, and a classifier."""
    inputs = x = keras.Input(shape)
    for part in parts:
        x = part(x)
    return keras.Model(inputs, layers.Dense(3, name="out")(x))


def tokens():
    inputs = keras.Input((5,), dtype="int32")
    x = layers.LayerNormalization()(layers.Embedding(7, 6, name="a")(inputs))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Dense(4, name="b")(x))))


def transformer():
    inputs = keras.Input((5, 8))
    x = layers.Dense(8, name="a")(inputs)
    x = layers.Add()([x, layers.MultiHeadAttention(4, 5, name="b")(x, x)])
    x = layers.Add()([x, layers.Dense(8)(layers.Dense(16, activation="gelu", name="c")(x))])
    return keras.Model(inputs, layers.Dense(3)(x))


def cross_attention():
    queries, memory = keras.Input((5, 8)), keras.Input((7, 6))
    attend = layers.MultiHeadAttention(2, 4, output_shape=6, name="c")
    x = attend(layers.Dense(8, name="a")(queries), layers.Dense(9, name="b")(memory))
    return keras.Model([queries, memory], layers.Dense(3)(x))


def attention():
    inputs = keras.Input((5, 8))
    query, key, value = (layers.Dense(n, name=name)(inputs) for n, name in ((6, "a"), (6, "x"), (4, "b")))
    return keras.Model(inputs, layers.Dense(3)(layers.Attention(use_scale=True)([query, value, key])))


def channel_shuffle():
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, padding="same", name="a")(inputs)
    x = layers.Permute((1, 2, 4, 3))(layers.Reshape((6, 6, 2, 4))(x))
    x = layers.DepthwiseConv2D(3)(layers.Reshape((6, 6, 8))(x))
    x = layers.Conv2D(6, 1, groups=2, name="b")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def split_and_join():
    inputs = keras.Input((6, 6, 3))
    left, right = ops.split(layers.Conv2D(8, 3, padding="same", name="a")(inputs), 2, axis=-1)
    x = ops.concatenate([ops.relu(left) * 2.0 + 1.0, ops.tanh(right)], -1)
    x = ops.mean(x + layers.Conv2D(8, 1)(inputs), axis=(1, 2))
    return keras.Model(inputs, layers.Dense(3)(ops.expand_dims(x, 1)[:, 0]))


def products():
    inputs = keras.Input((6, 6, 3))
    x = ops.reshape(layers.Conv2D(8, 3, padding="same", name="a")(inputs), (-1, 36, 8))
    x = ops.swapaxes(ops.transpose(x, (0, 2, 1)), 1, 2)
    scores = ops.matmul(layers.Dense(6)(x), ops.transpose(layers.Dense(6, name="b")(x), (0, 2, 1)))
    x = ops.matmul(ops.softmax(scores, -1), x)
    return keras.Model(inputs, layers.Dense(3)(ops.reshape(x, (-1, 288))))


def dot():
    inputs = keras.Input((8,))
    pair = [layers.Dense(6, name="a")(inputs), layers.Dense(6)(inputs)]
    return keras.Model(inputs, layers.Dense(3)(layers.Dot(1)(pair)))


def model_over_time():
    """A nested model at every step, with a residual connection to what comes in."""
    inner = keras.Input((6, 6, 4))
    x = layers.Conv2D(5, 3, padding="same", activation="relu", name="b")(inner)
    x = layers.Add()([inner, layers.Conv2D(4, 1, name="c")(x)])
    frame = keras.Model(inner, layers.GlobalAveragePooling2D()(x))
    inputs = keras.Input((3, 6, 6, 2))
    x = layers.TimeDistributed(layers.Conv2D(4, 1), name="a")(inputs)
    x = layers.TimeDistributed(frame, name="frames")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def encoder_decoder():
    """Stacked cells, two layers of states, and a mask that is a tensor."""
    inputs = keras.Input((5, 4))
    _, *states = layers.Bidirectional(layers.GRU(5, return_state=True), merge_mode=None, name="a")(inputs)[1:]
    mask = ops.any(ops.not_equal(inputs, 0), -1)
    x = layers.RNN([layers.LSTMCell(4), layers.GRUCell(6)], return_sequences=True, name="b")(inputs, mask=mask)
    x = layers.Bidirectional(layers.GRU(5), merge_mode="mul", name="c")(x, initial_state=states)
    return keras.Model(inputs, layers.Dense(3)(x))


def named_arguments():
    """Value and key given by name, in another order than that of the alphabet; query and value have one width."""
    inputs = keras.Input((5, 8))
    query, value, key = (layers.Dense(6, name=name)(inputs) for name in "abc")
    attend = layers.GroupQueryAttention(3, 4, 2, use_gate=True, name="d")
    return keras.Model(inputs, layers.Dense(3)(attend(query, value=value, key=key)))


IMAGE, STEPS, VIDEO = (6, 6, 3), (5, 4), (4, 6, 6, 3)
# A model, then its free groups: name, units, exact.
CASES = {
    "transposed": lambda: stack(
        IMAGE, layers.Conv2D(6, 3, name="a"), layers.Conv2DTranspose(4, 3, strides=2, name="b"), layers.Flatten()
    ),
    "separable": lambda: stack(
        IMAGE,
        layers.Conv2D(6, 3, name="a"),
        layers.SeparableConv2D(4, 3, depth_multiplier=2, name="b"),
        layers.GlobalMaxPooling2D(),
    ),
    "grouped": lambda: stack(
        IMAGE, layers.Conv2D(8, 3, name="a"), layers.Conv2D(12, 3, groups=4, name="b"), layers.Flatten()
    ),
    "a group a channel": lambda: stack(
        IMAGE, layers.Conv2D(8, 3, name="a"), layers.Conv2D(16, 3, groups=8), layers.Flatten()
    ),
    "einsum": lambda: stack(
        (5, 6),
        layers.EinsumDense("abc,cd->abd", output_shape=(5, 8), bias_axes="d", name="a"),
        layers.EinsumDense("...c,cd->...d", output_shape=4, bias_axes="d", name="b"),
        layers.Flatten(),
    ),
    "lstm": lambda: stack(STEPS, layers.Dense(6, name="a"), layers.LSTM(5, name="b")),
    "gru": lambda: stack(
        STEPS, layers.GRU(6, return_sequences=True, name="a"), layers.GRU(4, reset_after=False, name="b")
    ),
    "simple rnn": lambda: stack(
        STEPS, layers.SimpleRNN(6, return_sequences=True, name="a"), layers.SimpleRNN(4, name="b")
    ),
    "bidirectional": lambda: stack(
        STEPS,
        layers.Bidirectional(layers.LSTM(6, return_sequences=True), name="a"),
        layers.Bidirectional(layers.GRU(4), merge_mode="sum", name="b"),
    ),
    "time distributed": lambda: stack(
        (4, *IMAGE),
        layers.TimeDistributed(layers.Conv2D(4, 3), name="a"),
        layers.TimeDistributed(layers.BatchNormalization()),
        layers.TimeDistributed(layers.Flatten()),
        layers.TimeDistributed(layers.Dense(5), name="b"),
    ),
    "conv lstm": lambda: stack(
        VIDEO,
        layers.ConvLSTM2D(4, 3, return_sequences=True, name="a"),
        layers.ConvLSTM2D(5, 3, name="b"),
        layers.Flatten(),
    ),
    "group normalization": lambda: stack(
        IMAGE,
        layers.Conv2D(8, 3, name="a"),
        layers.GroupNormalization(4),
        layers.Conv2D(4, 3, name="b"),
        layers.GroupNormalization(-1),
        layers.Flatten(),
    ),
    "prelu": lambda: stack(
        IMAGE,
        layers.Conv2D(8, 3, name="a"),
        layers.PReLU(),
        layers.Conv2D(4, 3, name="b"),
        layers.PReLU(shared_axes=[1, 2]),
        layers.Flatten(),
        layers.Reshape((4, -1)),
    ),
    "spectral normalization": lambda: stack(
        IMAGE, layers.SpectralNormalization(layers.Conv2D(8, 3), name="a"), layers.Flatten()
    ),
    "reshape": lambda: stack(
        IMAGE,
        layers.Conv2D(8, 3, name="a"),
        layers.Reshape((16, 8)),
        layers.Dense(6, name="b"),
        layers.Permute((2, 1)),
        layers.Flatten(),
    ),
    "repeat": lambda: stack((6,), layers.Dense(4, name="a"), layers.RepeatVector(3), layers.Dense(5, name="b")),
    "tokens": tokens,
    "transformer": transformer,
    "cross attention": cross_attention,
    "attention": attention,
    "channel shuffle": channel_shuffle,
    "split and join": split_and_join,
    "products": products,
    "dot": dot,
    "model over time": model_over_time,
    "encoder and decoder": encoder_decoder,
    "named arguments": named_arguments,
}
GROUPS = {
    "transposed": {"a": 6, "b": 4},
    "separable": {"a": 6, "b": 4},
    "grouped": {"a": 2, "b": 3},
    "a group a channel": {"a": 8},
    "einsum": {"a": 8, "b": 4},
    "lstm": {"a": 6, "b": 5},
    "gru": {"a": 6, "b": 4},
    "simple rnn": {"a": 6, "b": 4},
    "bidirectional": {"a": 6, "b": 4},
    "time distributed": {"a": 4, "b": 5},
    "conv lstm": {"a": 4, "b": 5},
    "group normalization": {"a": 2, "b": 4},
    "prelu": {"a": 8, "b": 4},
    "spectral normalization": {"a": 8},
    "reshape": {"a": 8, "b": 6},
    "repeat": {"a": 4, "b": 5},
    "tokens": {"a": 6, "b": 4},
    "transformer": {"a": 8, "b": 4, "b:1": 5, "c": 16},
    "cross attention": {"a": 8, "b": 9, "c": 2, "c:1": 4, "c:2": 6},
    "attention": {"a": 6, "b": 4},
    "channel shuffle": {"a": 2, "b": 3},
    "split and join": {"a": 4},
    "products": {"a": 8, "b": 6},
    "dot": {"a": 6},
    "model over time": {"a": 4, "frames/b": 5},
    "encoder and decoder": {"a": 5, "b": 4, "b:1": 6},
    "named arguments": {"a": 6, "c": 6, "d": 2},
}
INEXACT = {
    "group normalization": {"a"},
    "spectral normalization": {"a"},
    "tokens": {"a"},
    "attention": {"a"},
    "products": {"b"},
    "dot": {"a"},
}
if keras.backend.backend() == "jax":
    # Its attention wants values as wide as keys.
    del GROUPS["transformer"]["b:1"], GROUPS["cross attention"]["c:1"]
# Each loop over steps takes JAX seconds to compile, at every width.
COMPUTED = [name for name in CASES if name != "encoder and decoder" or keras.backend.backend() != "jax"]
TOLERANCE = 1e-5


@pytest.mark.parametrize("name", CASES)
def test_the_groups_of_a_layer(name):
    free = [group for group in find_groups(CASES[name]()) if not group.frozen]
    assert {group.name: group.size for group in free} == GROUPS[name]
    assert {group.name for group in free if not group.exact} == INEXACT.get(name, set())


@pytest.mark.parametrize("name", COMPUTED)
def test_edits_keep_the_function_and_survive_saving(name, tmp_path):
    model, rng = CASES[name](), np.random.default_rng(0)
    randomize(model)
    inputs = random_inputs(model)
    expected = run_model(model, inputs)
    reordered = rebuild(model, {group: rng.permutation(size) for group, size in GROUPS[name].items()})
    assert difference(expected, run_model(reordered, inputs)) < TOLERANCE
    exact = {group: size for group, size in GROUPS[name].items() if group not in INEXACT.get(name, ())}
    grown = rebuild(
        model, {group: [*rng.permutation(size), *rng.integers(0, size, 3)] for group, size in exact.items()}
    )
    assert difference(expected, run_model(grown, inputs)) < TOLERANCE
    smaller = rebuild(grown, {group.name: range(1, group.size) for group in find_groups(grown) if group.name in exact})
    smaller.save(tmp_path / "smaller.keras")
    loaded = keras.models.load_model(tmp_path / "smaller.keras")
    assert same_values(values_of(smaller.weights), values_of(loaded.weights))
    # PyTorch adds up in another order where an array lies elsewhere in memory.
    assert difference(run_model(smaller, inputs), run_model(loaded, inputs)) < 1e-6


@keras.saving.register_keras_serializable("cgap_keras_tests")
class NamedLSTM(layers.LSTM):
    """Another name for an LSTM."""


def test_a_subclass_of_a_recurrent_layer_has_its_rule():
    model = stack(STEPS, layers.Dense(6, name="a"), NamedLSTM(5, name="b"))
    assert [group.name for group in find_groups(model) if not group.frozen] == ["a", "b"]


@keras.saving.register_keras_serializable("cgap_keras_tests")
class LeakyCell(layers.Layer):
    """A cell of the user's: `h + tanh(inputs @ kernel)`."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")

    def call(self, inputs, states):
        output = states[0] + ops.tanh(ops.matmul(inputs, self.kernel))
        return output, [output]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register_rule(LeakyCell)
def leaky_cell(call, labels, tracer):
    tracer.consume(call, call.operation.kernel, 0, tracer.along(labels[0], -1, call.inputs[0].shape[-1]))
    units = tracer.produce(call, call.operation.kernel, 1, key="units")[None]
    return [units, units]


def test_a_rule_for_a_cell_of_the_users_own():
    model = stack(
        STEPS,
        layers.Bidirectional(layers.RNN(LeakyCell(6), return_sequences=True), name="a"),
        layers.RNN([LeakyCell(5), layers.GRUCell(4)], name="b"),
    )
    randomize(model)
    inputs, free = random_inputs(model), {"a": 6, "b": 5, "b:1": 4}
    assert {group.name: group.size for group in find_groups(model) if not group.frozen} == free
    grown = rebuild(model, {name: [*range(size)[::-1], 0] for name, size in free.items()})
    assert difference(run_model(model, inputs), run_model(grown, inputs)) < TOLERANCE


def test_noise_in_the_shape_of_the_channels_follows_the_width():
    model = stack(STEPS, layers.Dense(6, name="a"), layers.Dropout(0.5, noise_shape=(None, 1, 6), name="noise"))
    assert rebuild(model, {"a": [*range(6), 0]}).get_layer("noise").noise_shape == (None, 1, 7)


def test_a_copy_of_an_adapted_normalization_normalizes():
    adapted, rng = layers.Normalization(), np.random.default_rng(0)
    adapted.adapt(rng.normal(3, 2, (50, 4)).astype("float32"))
    model = stack((4,), adapted, layers.Dense(6, activation="relu", name="a"))
    inputs = [rng.normal(3, 2, (3, 4)).astype("float32")]
    expected = run_model(model, inputs)
    assert difference(expected, run_model(rebuild(model, {"a": [*range(6), 0]}), inputs)) < TOLERANCE


def test_a_model_with_functions_and_arrays_of_the_users_can_be_copied():
    inputs = keras.Input((4,))
    x = layers.Lambda(lambda x, scale: scale * x, arguments={"scale": 2.0})(inputs)
    x = layers.Dense(6, activation="relu", name="a")(ops.clip(x, np.zeros(4, "float32"), np.arange(4.0)))
    model = keras.Model(inputs, layers.Dense(3)(x))
    tensors, before = random_inputs(model), len(model.operations[2]._inbound_nodes)
    expected = run_model(model, tensors)
    assert difference(expected, run_model(rebuild(model, {"a": [*range(6), 0]}), tensors)) < TOLERANCE
    assert len(model.operations[2]._inbound_nodes) == before


def test_the_guide_to_rules_runs():
    guide = pathlib.Path(__file__).parents[2] / "docs" / "rules.md"
    names = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", guide.read_text(), re.S)), names)
    assert set(names["plan"]) == {group.name for group in find_groups(names["model"]) if not group.frozen}
    assert len(names["plan"]) == 2
