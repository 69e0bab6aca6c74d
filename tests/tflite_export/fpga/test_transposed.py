"""Transposed convolutions, from Keras models and from .tflite files."""

import keras
import numpy as np
import pytest
from keras import layers

import cgap_keras
from tflite_export import fpga


def model_of(*stack, shape=(4, 5, 3)):
    return keras.Sequential([keras.Input(shape), *stack])


def test_a_kernel_that_the_stride_divides_is_one_convolution():
    (row,) = fpga.workload(model_of(layers.Conv2DTranspose(6, 4, strides=2, padding="same", name="up")))
    # Each of the 2 * 2 places within a stride has 2 * 2 taps, and becomes six output maps.
    assert (row.name, row.kind, row.n_kx, row.n_ky, row.n_if) == ("up", "conv", 2, 2, 3)
    assert (row.n_ox, row.n_oy, row.n_of, row.n_ix, row.n_iy) == (5, 4, 24, 5, 4)
    assert row.macs == 4 * 5 * 3 * 6 * 16
    assert (row.weights, row.biases) == (16 * 3 * 6, 6)
    assert row.output_elements == 8 * 10 * 6
    assert row.padding == ((0, 1), (0, 1))


def test_other_kernels_are_a_convolution_for_each_number_of_taps():
    rows = fpga.workload(model_of(layers.Conv2DTranspose(6, 3, strides=2, padding="same", name="up")))
    # Along an axis one place has two taps and one has one.
    assert [(row.name, row.n_of) for row in rows] == [("up/2x2", 6), ("up/2x1", 6), ("up/1x2", 6), ("up/1x1", 6)]
    assert sum(row.weights for row in rows) == 9 * 3 * 6
    assert sum(row.output_elements for row in rows) == 8 * 10 * 6


@pytest.mark.parametrize("kernel, stride", [(2, 2), (3, 2), (4, 2), (5, 3), (3, 1), ((4, 3), (2, 1))])
def test_the_convolutions_compute_the_transposed_one(kernel, stride):
    # The products that reach each output pixel, counted by a transposed convolution of ones with ones: 7 * 7 input
    # pixels of one map. Away from the border, an output pixel has the taps of its row.
    layer = layers.Conv2DTranspose(1, kernel, strides=stride, padding="same", use_bias=False, kernel_initializer="ones")
    model = model_of(layer, shape=(7, 7, 1))
    counted = keras.ops.convert_to_numpy(model(np.ones((1, 7, 7, 1), "float32")))[0, :, :, 0]
    rows = fpga.workload(model)
    expected = np.concatenate([[row.n_kx * row.n_ky] * row.n_of for row in rows])
    steps = [(stride, stride) if isinstance(stride, int) else stride][0]
    inner = counted[3 * steps[0] : 4 * steps[0], 3 * steps[1] : 4 * steps[1]]
    assert sorted(inner.ravel()) == sorted(expected)
    assert sum(row.output_elements for row in rows) == counted.size


@pytest.mark.parametrize(
    "stack, shape",
    [
        ((layers.Conv2DTranspose(6, (5, 3), strides=(2, 3), padding="same"),), (4, 5, 3)),
        ((layers.Conv2DTranspose(6, 2, strides=2),), (4, 5, 3)),
        ((layers.Conv1DTranspose(6, 5, strides=2, padding="same"),), (9, 3)),
        ((layers.Conv2D(4, 3), layers.Conv2DTranspose(6, 3, padding="same")), (6, 6, 3)),
    ],
)
def test_macs_equal_the_models_cost(stack, shape):
    model = model_of(*stack, shape=shape)
    assert sum(row.macs for row in fpga.workload(model)) == cgap_keras.cost(model).macs > 0


def test_the_file_has_the_models_loops(tmp_path):
    tf = pytest.importorskip("tensorflow")
    up = layers.Conv2DTranspose(4, 3, strides=2, padding="same", bias_initializer="ones")
    last = layers.Conv2DTranspose(2, 4, strides=2, padding="same", use_bias=False)
    model = model_of(layers.Conv2D(6, 3, padding="same", use_bias=False), layers.LeakyReLU(), up, layers.ReLU(), last)
    path = tmp_path / "model.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    fields = ("kind", "macs", "weights", "biases", "n_kx", "n_ky", "n_ox", "n_oy", "n_if", "n_of", "padding", "stride")
    from_model, from_file = (
        [tuple(getattr(row, field) for field in fields) for row in fpga.workload(source)] for source in (model, path)
    )
    # The converter gives a convolution without bias one of zeros.
    rows = [(*row[:3], 0 if i == 0 else row[3], *row[4:]) for i, row in enumerate(from_file)]
    assert len(from_model) == 1 + 4 + 1
    assert from_model == rows


@pytest.mark.parametrize(
    "layer, reason",
    [
        (layers.Conv2DTranspose(4, 3, strides=2, name="up"), "with an output that is not its input times its stride"),
        (layers.Conv2DTranspose(4, 1, strides=2, name="up"), "with a kernel smaller than its stride"),
        (layers.Conv2DTranspose(4, 3, dilation_rate=2, padding="same", name="up"), "dilated"),
    ],
)
def test_what_does_not_run_is_named(layer, reason):
    with pytest.raises(ValueError, match=rf"'up' \(Conv2DTranspose: {reason}\).*Received: model="):
        fpga.workload(model_of(layer))
