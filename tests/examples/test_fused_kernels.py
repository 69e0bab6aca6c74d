"""PyTorch's own kernels in place of Keras's: values, gradients and moving statistics, in a process of their own."""

import os
import subprocess
import sys

import keras
import pytest

from examples import fused_kernels

# Prints nothing if a training step of a network is the same with and without.
STEP = """
import sys
import keras
import numpy as np
import torch
sys.path.insert(0, "examples")
import fused_kernels


def step(network, dtype):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(dtype)
    inputs = keras.Input((9, 9, 3))
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.7)(x)
    x = keras.layers.MaxPooling2D()(keras.layers.ReLU()(x))
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.BatchNormalization(scale=False)(x)
    x = keras.layers.Dense(5)(keras.layers.Flatten()(x))
    x = keras.layers.BatchNormalization(epsilon=0.1)(x)
    model = keras.Model(inputs, keras.layers.Dense(2, dtype="float32")(x))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(16, 9, 9, 3)).astype("float32"), rng.normal(size=(16, 2)).astype("float32")
    losses = [float(model.train_on_batch(images, labels)) for _ in range(3)]
    outputs = model.predict(images, verbose=0)
    return [np.array(losses), outputs, *(keras.ops.convert_to_numpy(x) for x in model.variables)]


for dtype, tolerance in (("float32", 1e-4), ("mixed_bfloat16", 0.05)):
    before = step("keras", dtype)
    call, transpose = keras.layers.BatchNormalization.call, keras.src.backend.torch.nn._transpose_spatial_inputs
    fused_kernels.install()
    assert keras.layers.BatchNormalization.call is not call
    after = step("fused", dtype)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    keras.layers.BatchNormalization.call = call
    keras.src.backend.torch.nn._transpose_spatial_inputs = transpose
"""


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the kernels are PyTorch's")
def test_three_steps_come_to_the_same_weights_and_statistics():
    child = subprocess.run(
        [sys.executable, "-c", STEP], env={**os.environ, "PYTHONWARNINGS": "ignore"}, capture_output=True, text=True
    )
    assert (child.returncode, child.stdout) == (0, ""), child.stderr


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="here the kernels are to be had")
def test_another_backend_is_refused():
    with pytest.raises(ValueError, match="KERAS_BACKEND=torch"):
        fused_kernels.install()
