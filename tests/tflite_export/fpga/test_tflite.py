"""Workloads of .tflite files beside those of the models they came from."""

import keras
import pytest
from keras import layers

from tflite_export import fpga


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((17, 15, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(layers.ZeroPadding2D(1)(inputs))
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Add()([x, layers.Conv2D(8, 1, activation="relu")(y)])
    x = layers.Concatenate()([layers.MaxPooling2D(2, padding="same")(x), layers.AveragePooling2D(2, padding="same")(x)])
    x = layers.Conv2D(8, 3, groups=2, bias_initializer="ones")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", bias_initializer="ones")(x))


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    tf = pytest.importorskip("tensorflow")
    target = tmp_path_factory.mktemp("files") / "model.tflite"
    target.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return target


def test_the_file_has_the_models_loops(model, path):
    from_model, from_file = fpga.workload(model), fpga.workload(str(path))
    fields = ("kind", "macs", "weights", "n_kx", "n_ky", "n_ox", "n_oy", "n_if", "n_of", "stride", "padding", "groups")
    rows = [
        [tuple(getattr(row, f) for f in fields) for row in work if row.kind != "host"]
        for work in (from_model, from_file)
    ]
    assert rows[0] == rows[1]
    assert sum(row.kind == "host" for row in from_file) == 1


def test_the_file_costs_what_the_model_costs(model, path):
    a, b = (fpga.estimate(x, "dpu_b1024_zcu102") for x in (model, path))
    assert a.macs == b.macs
    assert b.latency_ms == pytest.approx(a.latency_ms, rel=0.01)
    assert b.feature_map_bytes == a.feature_map_bytes


def test_another_file_is_refused(tmp_path):
    other = tmp_path / "model.tflite"
    other.write_bytes(b"not a flatbuffer")
    with pytest.raises(ValueError, match="path of a .tflite file. Received: model="):
        fpga.workload(other)


def test_operators_that_do_not_run_are_named(tmp_path):
    tf = pytest.importorskip("tensorflow")
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.ops.sin(inputs))
    target = tmp_path / "model.tflite"
    target.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    with pytest.raises(ValueError, match=r"\(SIN\).*Received: model="):
        fpga.workload(target)
