"""`cost` and the multiply-accumulate rules, against counts made by hand."""

import dataclasses

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from cgap_keras import zoo
from cgap_keras.cost import Cost, LayerCost, cost
from cgap_keras.macs import macs_rule


def single(layer, *shapes):
    """The cost of a model of one layer."""
    inputs = [keras.Input(shape) for shape in shapes]
    return cost(keras.Model(inputs, layer(*inputs)))


# Layer, input shapes, multiply-accumulates by hand.
BY_HAND = {
    "conv1d": (layers.Conv1D(6, 3), [(10, 4)], 3 * 4 * 6 * 8),
    "conv2d_valid": (layers.Conv2D(5, (3, 2)), [(8, 9, 4)], 3 * 2 * 4 * 5 * 6 * 8),
    "conv2d_stride": (layers.Conv2D(5, 3, strides=2, padding="same"), [(9, 9, 4)], 3 * 3 * 4 * 5 * 5 * 5),
    "conv2d_dilated": (layers.Conv2D(5, 3, dilation_rate=2), [(9, 9, 4)], 3 * 3 * 4 * 5 * 5 * 5),
    "conv2d_groups": (layers.Conv2D(8, 3, groups=4, padding="same"), [(6, 6, 12)], 3 * 3 * 3 * 8 * 36),
    "conv3d": (layers.Conv3D(2, 3), [(5, 5, 5, 3)], 27 * 3 * 2 * 27),
    "conv2d_transpose": (layers.Conv2DTranspose(5, 3, strides=2), [(4, 6, 7)], 3 * 3 * 7 * 5 * 4 * 6),
    "depthwise": (layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2), [(6, 6, 4)], 9 * 4 * 2 * 36),
    "depthwise1d": (layers.DepthwiseConv1D(3), [(6, 4)], 3 * 4 * 4),
    "separable": (layers.SeparableConv2D(7, 3, padding="same"), [(6, 6, 4)], (9 * 4 + 4 * 7) * 36),
    "separable1d": (layers.SeparableConv1D(7, 3, padding="same"), [(6, 4)], (3 * 4 + 4 * 7) * 6),
    "dense": (layers.Dense(5), [(7,)], 7 * 5),
    "dense_rank3": (layers.Dense(5), [(3, 7)], 3 * 7 * 5),
    "einsum_dense": (layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 5)), [(3, 7)], 3 * 7 * 2 * 5),
    "einsum_ellipsis": (layers.EinsumDense("...x,xy->...y", output_shape=(5,)), [(3, 4, 7)], 3 * 4 * 7 * 5),
    "einsum_two_axes": (layers.EinsumDense("abde,cde->abc", output_shape=(None, 6)), [(3, 2, 5)], 3 * 2 * 5 * 6),
    "simple_rnn": (layers.SimpleRNN(5), [(6, 3)], 6 * (3 * 5 + 5 * 5)),
    "gru": (layers.GRU(5, return_sequences=True), [(6, 3)], 6 * 3 * (3 * 5 + 5 * 5)),
    "lstm": (layers.LSTM(5), [(6, 3)], 6 * 4 * (3 * 5 + 5 * 5)),
    "rnn_of_two_cells": (
        layers.RNN([layers.LSTMCell(5), layers.GRUCell(4)]),
        [(6, 3)],
        6 * (4 * (3 * 5 + 5 * 5) + 3 * (5 * 4 + 4 * 4)),
    ),
    # Padding leaves 5 x 6 pixels at each of 4 steps; the state keeps that size.
    "conv_lstm": (
        layers.ConvLSTM2D(2, (3, 2), return_sequences=True),
        [(4, 7, 7, 3)],
        4 * 5 * 6 * (6 * 3 * 8 + 6 * 2 * 8),
    ),
    "conv_lstm_last": (layers.ConvLSTM1D(2, 3, padding="same"), [(4, 7, 3)], 4 * 7 * (3 * 3 * 8 + 3 * 2 * 8)),
    "bidirectional": (layers.Bidirectional(layers.LSTM(5)), [(6, 3)], 2 * 6 * 4 * (3 * 5 + 5 * 5)),
    "time_distributed": (layers.TimeDistributed(layers.Conv2D(5, 3)), [(4, 8, 8, 3)], 4 * 9 * 3 * 5 * 36),
    # Projections of 6 queries and 3 keys and values, then the scores and the weighted sum of the values.
    "multi_head": (
        layers.MultiHeadAttention(2, key_dim=3, value_dim=5, output_shape=8),
        [(6, 4), (3, 7)],
        6 * 4 * 2 * 3 + 3 * 7 * 2 * 3 + 3 * 7 * 2 * 5 + 6 * 2 * 5 * 8 + 2 * 6 * 3 * (3 + 5),
    ),
    # Four query heads over two heads of keys and values.
    "group_query": (
        layers.GroupQueryAttention(3, 4, 2),
        [(6, 8), (5, 8)],
        6 * 8 * 12 + 2 * 5 * 8 * 6 + 6 * 12 * 8 + 2 * 4 * 3 * 6 * 5,
    ),
    "batch_normalization": (layers.BatchNormalization(), [(4, 4, 3)], 0),
    "layer_normalization": (layers.LayerNormalization(), [(4, 3)], 0),
    "prelu": (layers.PReLU(), [(4, 3)], 0),
    "embedding": (layers.Embedding(10, 4), [(6,)], 0),
    "relu": (layers.ReLU(), [(4, 3)], 0),
    "average_pooling": (layers.AveragePooling2D(2), [(4, 4, 3)], 0),
    "flatten": (layers.Flatten(), [(4, 4, 3)], 0),
    "dropout": (layers.Dropout(0.5), [(4,)], 0),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_macs_of_each_family(quick_weights, case):
    layer, shapes, expected = BY_HAND[case]
    measured = single(layer, *shapes)
    assert measured.macs == expected
    assert measured.flops == 2 * expected
    assert measured.layers[-1].flops == 2 * expected


def test_a_model_at_every_step_counts_every_step():
    image = keras.Input((8, 8, 3))
    inner = keras.Model(image, layers.Dense(4)(layers.Flatten()(layers.Conv2D(5, 3)(image))))
    assert single(layers.TimeDistributed(inner), (6, 8, 8, 3)).macs == 6 * (9 * 3 * 5 * 36 + 180 * 4)


def test_an_embedding_in_reverse_scores_every_token():
    tokens, table = keras.Input((6,), dtype="int32"), layers.ReversibleEmbedding(10, 4)
    assert cost(keras.Model(tokens, table(table(tokens), reverse=True))).macs == 6 * 4 * 10


def test_attention_scores_and_weighted_sum():
    query, value, key = keras.Input((6, 5)), keras.Input((3, 4)), keras.Input((3, 5))
    assert cost(keras.Model([query, value, key], layers.Attention()([query, value, key]))).macs == 6 * 3 * (5 + 4)
    assert cost(keras.Model([query, key], layers.Attention()([query, key]))).macs == 6 * 3 * (5 + 5)


def test_contractions_of_two_activations():
    x, y = keras.Input((4, 6)), keras.Input((5, 6))
    assert cost(keras.Model([x, y], layers.Dot(axes=2)([x, y]))).macs == 4 * 5 * 6
    z = keras.Input((6, 3))
    assert cost(keras.Model([x, z], keras.ops.matmul(x, z))).macs == 4 * 6 * 3


def test_channels_first_counts_the_same_pixels():
    layer = layers.DepthwiseConv2D(3, padding="same", data_format="channels_first")
    assert single(layer, (4, 5, 7)).macs == 9 * 4 * 5 * 7


@settings(max_examples=10)
@given(
    size=st.integers(3, 9),
    channels=st.integers(1, 4),
    groups=st.integers(1, 3),
    kernel=st.integers(1, 3),
    strides=st.integers(1, 2),
)
def test_convolution_macs_are_the_ones_a_kernel_of_ones_adds_up(size, channels, groups, kernel, strides):
    """With ones everywhere an output is its number of multiply-accumulates, so their sum is the count (no padding)."""
    layer = layers.Conv2D(2 * groups, kernel, strides, groups=groups, use_bias=False, kernel_initializer="ones")
    shape = (size, size, channels * groups)
    measured = single(layer, shape)
    assert measured.macs == int(np.sum(keras.ops.convert_to_numpy(layer(np.ones((1, *shape), "float32")))))


def test_lenet5_by_hand(quick_weights):
    rows = {row.path: row for row in cost(zoo.lenet5()).layers}
    conv1 = LayerCost("conv1", "Conv2D", 520, 288_000, 576_000, 2080, (None, 24, 24, 20))
    assert rows["conv1"] == conv1
    assert [rows[name].params for name in ("conv2", "dense1", "logits")] == [25_050, 400_500, 5_010]
    assert [rows[name].macs for name in ("conv2", "dense1", "logits")] == [1_600_000, 400_000, 5_000]


def test_convnext_against_its_publication(quick_weights):
    """Liu et al., "A ConvNet for the 2020s", 2022, table 1: ConvNeXt-T has 4.5 GFLOPs and 28.6 M parameters.

    A weight that scales each channel is not counted, as that of a normalisation is not.
    """
    total = cost(keras.applications.ConvNeXtTiny(weights=None))
    assert total.macs == pytest.approx(4.5e9, rel=0.02) and total.params == pytest.approx(28.6e6, rel=0.005)


@pytest.mark.parametrize("name", ["lenet5", "digits_cnn", "resnet20", "mobilenet"])
def test_params_are_those_of_keras_less_the_moving_statistics(quick_weights, name):
    model = zoo.get(name)(width=zoo.SEED_WIDTH)
    statistics = sum(2 * x.gamma.shape[0] for x in model.layers if isinstance(x, layers.BatchNormalization))
    assert cost(model).params == model.count_params() - statistics


def test_totals_are_the_sums_of_the_rows_in_graph_order(quick_weights):
    model = zoo.digits_cnn()
    measured = cost(model)
    assert [row.path for row in measured.layers] == [x.name for x in model.layers[1:]]
    for field in ("params", "macs", "flops", "bytes"):
        assert getattr(measured, field) == sum(getattr(row, field) for row in measured.layers) > 0


def test_freezing_a_layer_changes_nothing(quick_weights):
    model = zoo.digits_cnn(width=zoo.SEED_WIDTH)
    before = cost(model)
    model.trainable = False
    assert cost(model) == before


def test_statistics_and_random_state_are_not_parameters():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Normalization(), layers.Dropout(0.5), layers.BatchNormalization(scale=False)]
    )
    assert cost(model).params == 4


def test_bytes_follow_the_dtype(quick_weights):
    half = single(layers.Dense(5, dtype="float16"), (7,))
    mixed = single(layers.Dense(5, dtype="mixed_float16"), (7,))
    assert (half.bytes, mixed.bytes) == (2 * 40, 4 * 40)


def test_quantized_dense_keeps_its_count():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(5)])
    model.quantize("int8")
    measured = cost(model)
    assert measured.macs == 8 * 5
    # The kernel, and beside it a scale for each unit and the bias.
    assert (measured.params, measured.bytes) == (8 * 5 + 5 + 5, 8 * 5 + 4 * (5 + 5))


def test_shared_layer_has_one_row_with_all_its_calls():
    x, y = keras.Input((7,)), keras.Input((7,))
    shared = layers.Dense(5, name="shared")
    measured = cost(keras.Model([x, y], layers.Add(name="add")([shared(x), shared(y)])))
    assert [row.path for row in measured.layers] == ["shared", "add"]
    assert measured.layers[0].macs == 2 * 35
    assert measured.params == 40


def test_nested_models_show_their_layers():
    encoder = keras.Sequential([keras.Input((7,)), layers.Dense(5, name="dense")], name="encoder")
    x = keras.Input((7,))
    measured = cost(keras.Model(x, layers.Dense(2, name="head")(encoder(x))))
    assert [(row.path, row.macs) for row in measured.layers] == [("encoder/dense", 35), ("head", 10)]


def test_values_are_frozen_and_integers(quick_weights):
    measured = cost(zoo.lenet5(width=zoo.SEED_WIDTH))
    assert isinstance(measured, Cost)
    assert all(type(value) is int for value in (measured.params, measured.macs, measured.flops, measured.bytes))
    with pytest.raises(dataclasses.FrozenInstanceError):
        measured.params = 0


def test_text_is_a_table_with_a_row_a_layer_and_the_total(quick_weights):
    measured = cost(zoo.lenet5())
    lines = str(measured).splitlines()
    assert lines[0].split() == ["layer", "type", "output", "params", "MACs", "bytes"]
    assert lines[2].split()[-3:] == ["520", "288,000", "2,080"]
    assert lines[-1].split() == ["total", "431,080", "2,293,000", "1,724,320"]
    assert len(lines) == len(measured.layers) + 4
    assert len({len(line) for line in lines}) == 1


class Scale(layers.Layer):
    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), name="factor")

    def call(self, x):
        return x * self.factor


class NamedDense(layers.Dense):
    """A subclass that computes the same."""


class DoubledDense(layers.Dense):
    def call(self, inputs):
        return super().call(super().call(inputs))


def test_layer_without_a_rule_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'scale', of type Scale.*macs_rule.*Received: layer='scale'"):
        single(Scale(name="scale"), (4,))


def test_subclass_with_its_own_call_is_refused():
    assert single(NamedDense(4), (4,)).macs == 16
    with pytest.raises(ValueError, match="of type DoubledDense"):
        single(DoubledDense(4), (4,))


def test_registered_rule_is_used():
    class Registered(Scale):
        def call(self, x):
            return x * self.factor

    macs_rule(Registered)(lambda call: call.inputs[0].shape[-1])
    measured = single(Registered(), (4,))
    assert (measured.macs, measured.params) == (4, 4)


def test_contraction_without_a_rule_is_refused():
    x = keras.Input((4, 6))
    with pytest.raises(ValueError, match="of type Einsum"):
        cost(keras.Model(x, keras.ops.einsum("bij,bkj->bik", x, x)))


def test_unknown_size_is_refused(quick_weights):
    with pytest.raises(ValueError, match=r"'wide' depend on a size that is not known.*\(None, None, None, 3\)"):
        single(layers.Conv2D(2, 3, name="wide"), (None, None, 3))
