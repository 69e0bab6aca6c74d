"""What every test starts from: the backend, fixed seeds, repeatable hypothesis examples."""

import os

# Before the first import of Keras, which reads the backend once.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# On processors TensorFlow convolves `channels_first` data by oneDNN alone, which is on by itself only where there is
# AVX-512 VNNI, BF16 or AMX.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np
import pytest
from hypothesis import settings

# TensorFlow has read it by now. The programs that tests start decide for themselves.
del os.environ["TF_ENABLE_ONEDNN_OPTS"]

# A first example traces a model and takes seconds, so there is no deadline; a fixed choice of examples makes a failure
# come back.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def fixed_seed():
    """Seeds Python, NumPy and the backend, so that a test does not depend on those before it."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def quick_weights(monkeypatch):
    """Draws kernels with NumPy, for tests that build many: JAX compiles an initialiser for every shape."""
    generator = np.random.default_rng(0)

    def draw(self, shape, dtype=None, **kwargs):
        values = generator.standard_normal(shape, "float32") * 0.1
        return keras.ops.convert_to_tensor(values, dtype or keras.config.floatx())

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", draw)


@pytest.fixture
def tfds_data_dir():
    """The folder of prepared TFDS data sets; tests that read one are skipped where there is none."""
    data_dir = os.environ.get("TFDS_DATA_DIR")
    if not data_dir:
        pytest.skip("TFDS_DATA_DIR is not set: it names a folder with the prepared TFDS sets cifar10 and mnist")
    return data_dir
