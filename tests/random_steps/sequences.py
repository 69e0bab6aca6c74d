"""Recurrent layers, attention, and layers at every step."""

import math

import keras
from keras import layers, ops

from tests.random_steps.bench import LARGEST, WIDTHS, at_rank, fit, step, step_of_two


@step
def recurrent(x, other, pick):
    kind = pick(layers.LSTM, layers.GRU, layers.SimpleRNN)
    options = {"return_sequences": pick(True, False), "use_bias": pick(True, False)}
    if kind is layers.GRU:
        options["reset_after"] = pick(True, False)
    x = at_rank(x, 3)
    # The test draws the weights; an orthogonal matrix takes a while.
    inner = kind(pick(*WIDTHS), recurrent_initializer="zeros", **options)
    if pick(False, True):
        return layers.Bidirectional(inner, merge_mode=pick("concat", "sum", "mul", "ave"))(x)
    inner.go_backwards = pick(False, True)
    return inner(x)


@step
def cells(x, other, pick):
    """Cells, alone or one upon the other, at every step."""
    x = at_rank(x, 3)
    kinds = (layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell)
    row = [pick(*kinds)(pick(*WIDTHS), recurrent_initializer="zeros") for _ in range(pick(1, 2))]
    cell = row[0] if len(row) == 1 and pick(True, False) else layers.StackedRNNCells(row)
    return layers.RNN(cell, return_sequences=pick(True, False))(x)


@step
def masked(x, other, pick):
    """Steps that hold nothing but zeros are passed over."""
    x = layers.Masking()(layers.ReLU()(at_rank(x, 3)))
    if pick(True, False):
        x = layers.Dense(pick(*WIDTHS), activation="relu")(x)
    return layers.LSTM(pick(*WIDTHS), recurrent_initializer="zeros")(x)


@step
def conv_recurrent(x, other, pick):
    x = at_rank(x, max(4, len(x.shape)))
    kind = layers.ConvLSTM1D if len(x.shape) == 4 else layers.ConvLSTM2D
    options = {"return_sequences": pick(True, False), "use_bias": pick(True, False)}
    return kind(pick(3, 4, 2), 2, padding="same", recurrent_initializer="zeros", **options)(x)


@step
def time_distributed(x, other, pick):
    x = at_rank(x, max(3, len(x.shape)))
    inner = {
        3: (layers.Dense, pick(*WIDTHS)),
        4: (layers.Conv1D, pick(*WIDTHS), 2),
        5: (layers.Conv2D, pick(*WIDTHS), 2),
    }[len(x.shape)]
    if min(x.shape[2:-1], default=2) < 2:
        return None
    kinds = [lambda: inner[0](*inner[1:]), layers.BatchNormalization, lambda: layers.Activation("tanh")]
    if math.prod(x.shape[2:]) <= LARGEST:
        kinds.append(layers.Flatten)
    return layers.TimeDistributed(pick(*kinds)())(x)


@step
def model_at_every_step(x, other, pick):
    """A functional model inside `TimeDistributed`."""
    x = at_rank(x, max(3, len(x.shape)))
    start = keras.Input(x.shape[2:])
    y = layers.Dense(pick(*WIDTHS), activation=pick("relu", "tanh"))(start)
    if pick(True, False):
        y = layers.Concatenate()([y, layers.BatchNormalization()(layers.Dense(2)(start))])
    if pick(False, True) and math.prod(y.shape[1:]) <= LARGEST:
        y = layers.Flatten()(y)
    return layers.TimeDistributed(keras.Model(start, layers.Dense(pick(*WIDTHS))(y)))(x)


@step_of_two
def group_query_attention(x, other, pick):
    x = at_rank(x, 3)
    memory = pick(x, fit(other, (None, pick(3, 4), x.shape[-1])))
    heads, shared = pick((2, 1), (4, 2), (2, 2), (3, 1))
    return layers.GroupQueryAttention(pick(2, 3), heads, shared, use_bias=pick(True, False))(x, memory)


@step_of_two
def multi_head_attention(x, other, pick):
    x = at_rank(x, 3)
    memory = pick(x, fit(other, (None, pick(3, 4), pick(*WIDTHS))))
    options = {"value_dim": pick(None, 4), "use_bias": pick(True, False), "output_shape": pick(None, 5)}
    if keras.backend.backend() == "jax":
        options["value_dim"] = None
    return layers.MultiHeadAttention(pick(2, 1, 3), pick(3, 2), **options)(x, memory)


@step_of_two
def attention(x, other, pick):
    x = at_rank(x, 3)
    kind, keys = pick(layers.Attention, layers.AdditiveAttention), fit(other, (None, 4, x.shape[-1]))
    value = layers.Dense(pick(*WIDTHS))(keys)
    operands = pick([x, value, keys], [x, keys], [x, x])
    return kind(use_scale=pick(True, False))(operands)


@step
def attention_by_products(x, other, pick):
    x = at_rank(x, 3)
    width = pick(*WIDTHS)
    scores = ops.matmul(layers.Dense(width)(x), ops.transpose(layers.Dense(width)(x), (0, 2, 1)))
    return ops.matmul(ops.softmax(scores, axis=-1), pick(x, layers.Dense(3)(x)))
