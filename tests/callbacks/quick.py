"""What keeps tests of training short."""

import keras
import pytest

# A step that runs operation by operation has not to be traced; on JAX it is slower, since each operation is compiled.
QUICK = {"run_eagerly": keras.backend.backend() != "jax"}

compiles_often = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="says nothing of a backend, and compiles a model for each `fit`"
)
