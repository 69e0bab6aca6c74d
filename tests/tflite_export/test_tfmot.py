"""Sparsity, clustering and quantization-aware training on a tf_keras copy: what was asked is in the weights."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRT
from keras import layers

from cgap_keras import zoo
from tflite_export import Interpreter, tfmot

pytest.importorskip("tensorflow_model_optimization", reason="the extra `tfmot` is not installed")

# Copies models and prints by how much of its range the answer of each copy is off. Its process is one of tf_keras.
TWINS = """
import json, sys
import keras
import numpy as np
from tests.tflite_export.test_tfmot import models
from tflite_export.tfmot.twin import copy_model

errors = {}
keras.utils.set_random_seed(0)
for name, model in models():
    x = [np.random.default_rng(1).normal(size=(4, *t.shape[1:])).astype("float32") for t in model.inputs]
    expected = keras.tree.flatten(model(x if len(x) > 1 else x[0]))
    actual = keras.tree.flatten(copy_model(model)[0](x))
    errors[name] = max(float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.ptp(a)) for a, b in zip(expected, actual))
print(json.dumps(errors))
"""


def mixed():
    """Two inputs, two outputs, a shared layer, a model inside, and layers of many kinds."""
    image, vector = keras.Input((12, 12, 3), name="image"), keras.Input((6,), name="vector")
    shared = layers.Conv2D(4, 3, padding="same", kernel_regularizer="l2", name="shared")
    inner = keras.Sequential([keras.Input((12, 12, 4)), layers.SeparableConv2D(4, 3, padding="same"), layers.PReLU()])
    x = layers.LeakyReLU(0.2)(layers.Conv2D(4, 3, strides=2)(layers.ZeroPadding2D(7)(image)))
    x = shared(layers.ReLU(6.0)(shared(x)))
    x = layers.Add()([inner(x), x])
    y = layers.Conv2DTranspose(4, 2, strides=2)(layers.AveragePooling2D(2)(x))
    x = layers.Concatenate()([x, layers.UpSampling2D()(layers.MaxPooling2D(2)(y))])
    x = layers.SpatialDropout2D(0.2)(layers.LayerNormalization()(x))
    x = layers.Dense(5, activation="swish")(layers.Reshape((48, 24))(layers.Permute((2, 1, 3))(x)))
    x = layers.GlobalMaxPooling1D()(layers.LSTM(3, return_sequences=True)(layers.Conv1D(4, 3)(x)))
    x = layers.Multiply()([x, layers.Dense(3, activation="sigmoid", kernel_constraint="max_norm")(vector)])
    return keras.Model([image, vector], [layers.Dense(2, name="one")(x), layers.Softmax(name="two")(x)])


def models():
    """Networks of the zoo and `mixed`, with statistics as after a training."""
    for name, model in [*((name, zoo.get(name)(width=0.25)) for name in zoo.names()), ("mixed", mixed())]:
        rng = np.random.default_rng(0)
        for weight in model.weights:
            if len(weight.shape) == 1:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        yield name, model


def test_copies_answer_as_their_originals():
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    finished = subprocess.run(
        [sys.executable, "-c", TWINS], env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    errors = json.loads(finished.stdout)
    assert set(errors) == {*zoo.names(), "mixed"}
    assert max(errors.values()) <= 1e-5, errors


@pytest.fixture(scope="module")
def task():
    """A network and images of two classes that tell apart, with what the network weighs before."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, use_bias=False)(image)))
    x = layers.ReLU()(layers.DepthwiseConv2D(3)(x))
    x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(2, name="logits")(x), name="task")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 256)
    images = (rng.normal(size=(256, 8, 8, 1)) + 0.8 * y[:, None, None, None]).astype("float32")
    return model, images, y, model.get_weights()


SPARSE = tfmot.PruneLowMagnitude(tfmot.ConstantSparsity(0.5, frequency=1))


def test_sparse_and_clustered_weights_come_back_to_a_keras_model(task):
    model, x, y, before = task
    techniques = [tfmot.PruneLowMagnitude(sparsity_m_by_n=(2, 4)), tfmot.ClusterWeights(4)]
    result = tfmot.optimize(model, x, y, techniques, epochs=2, learning_rate=1e-2)
    assert list(result.history) == ["PruneLowMagnitude", "ClusterWeights"] and result.file is None
    assert result.history["ClusterWeights"][-1] < 0.8 * result.history["PruneLowMagnitude"][0]
    dense, logits = (result.model.layers[i].kernel.numpy() for i in (-2, -1))
    for kernel in (dense, logits):
        assert len(np.unique(kernel)) <= 4
        # Along the axis that is summed over, of each four in a row.
        assert ((kernel.T.reshape(-1, 4) == 0).sum(axis=1) >= 2).all()
    assert np.mean(result.model.predict(x, verbose=0).argmax(1) == y) > 0.9
    assert [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)] == [True] * len(before)


def test_quantized_file_keeps_zeros_and_clusters(task, tmp_path):
    model, x, y, _ = task
    techniques = [SPARSE, tfmot.ClusterWeights(6), tfmot.QuantizeModel()]
    result = tfmot.optimize(model, x, y, techniques, tmp_path / "new", epochs=3, learning_rate=3e-3)
    file = result.file
    assert os.listdir(tmp_path / "new") == ["quantized.tflite"] and file.bytes == file.path.stat().st_size
    assert file.mean_abs_error <= 0.02 * file.outputs[0].span and file.float_weights == ()
    runner = LiteRT(model_path=str(file.path)).get_signature_runner()
    assert list(runner.get_input_details()) == ["image"] and list(runner.get_output_details()) == ["logits"]
    right = [runner(image=x[i : i + 1])["logits"].argmax() == y[i] for i in range(len(x))]
    assert np.mean(right) > 0.9
    interpreter = LiteRT(model_path=str(file.path))
    interpreter.allocate_tensors()
    (dense,) = (
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_tensor_details()
        if tuple(detail["shape"]) == (16, 128)
    )
    assert dense.dtype == np.int8 and len(np.unique(dense)) <= 6
    assert np.mean(dense == 0) >= 0.5


def test_ranges_are_those_of_the_samples_from_the_first_step_on(tmp_path):
    """Four steps that change nothing. Answers reach 45; ranges that had begun at 6 would have cut them off there."""
    keras.utils.set_random_seed(0)
    vector = keras.Input((8,), name="vector")
    model = keras.Model(vector, layers.Dense(3, name="scores")(layers.Dense(16, activation="relu")(vector)))
    model.layers[-1].kernel.assign(20 * model.layers[-1].kernel)
    x = np.random.default_rng(0).normal(size=(128, 8)).astype("float32")
    expected = model.predict(x, verbose=0)
    assert np.abs(expected).max() > 20
    tfmot.optimize(model, x, np.zeros(128, int), tfmot.QuantizeModel(), tmp_path, learning_rate=1e-12)
    (scores,) = Interpreter(tmp_path / "quantized.tflite").run({"vector": x}).values()
    assert np.abs(scores - expected).mean() < 0.01 * np.ptp(expected)


BAD_CALLS = {
    "another order": (dict(techniques=[tfmot.ClusterWeights(), SPARSE]), ValueError, "in the order"),
    "twice": (dict(techniques=[SPARSE, SPARSE]), ValueError, "none twice"),
    "none": (dict(techniques=[]), ValueError, "one or more"),
    "a name": (dict(techniques=["QuantizeModel"]), TypeError, "'QuantizeModel'"),
    "a file without a place": (dict(techniques=tfmot.QuantizeModel()), ValueError, "directory=None"),
    "too few targets": (dict(y=np.zeros(3)), ValueError, "256 targets"),
    "wrong shape": (dict(x=np.zeros((256, 4))), ValueError, r"\(samples, 8, 8, 1\)"),
    "loss of a name": (dict(loss="mse"), TypeError, "keras.losses.Loss"),
    "no epoch": (dict(epochs=0), ValueError, "epochs=0"),
    "no rate": (dict(learning_rate=0), ValueError, "learning_rate=0"),
}


@pytest.mark.parametrize("case", list(BAD_CALLS))
def test_bad_call_is_refused_before_a_process_starts(task, monkeypatch, case):
    monkeypatch.setattr("tflite_export.tfmot.api.run_module", lambda *args, **options: pytest.fail("started"))
    model, x, y, _ = task
    change, error, message = BAD_CALLS[case]
    with pytest.raises(error, match=f"(?s){message}"):
        tfmot.optimize(**{"model": model, "x": x, "y": y, "techniques": [SPARSE], **change})


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: tfmot.ConstantSparsity(1.0), "target_sparsity=1.0"),
        (lambda: tfmot.ConstantSparsity(frequency=0), "frequency=0"),
        (lambda: tfmot.PolynomialDecay(begin_step=9, end_step=9), "end_step=9"),
        (lambda: tfmot.PruneLowMagnitude(sparsity_m_by_n=(4, 2)), r"\(4, 2\)"),
        (lambda: tfmot.ClusterWeights(1), "number_of_clusters=1"),
        (lambda: tfmot.ClusterWeights(cluster_centroids_init="MEANS"), "'MEANS'"),
    ],
)
def test_technique_that_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_layer_without_counterpart_is_named(tmp_path):
    x = keras.Input((8, 4), name="x")
    model = keras.Model(x, layers.Dense(2)(layers.RMSNormalization(name="norm")(x)))
    with pytest.raises(ValueError, match="copying to tf_keras.*'norm' has no counterpart in tf_keras"):
        tfmot.optimize(model, np.zeros((4, 8, 4)), np.zeros((4, 8)), SPARSE)
