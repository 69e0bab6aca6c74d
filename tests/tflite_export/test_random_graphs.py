"""Arbitrary graphs: a file answers as the model does, or says what it lacks.

`EXPORT_GRAPHS=300` in the environment tries as many graphs as it says; each takes some seconds. `EXPORT_SEED=1` tries
others.
"""

import os
import tempfile

import keras
import pytest
from hypothesis import HealthCheck, Phase, event, given, seed, settings

from tests.models import randomize
from tests.random_graphs import build, programs, random_inputs
from tflite_export import export
from tflite_export.signature import read_signature

GRAPHS, SEED = int(os.environ.get("EXPORT_GRAPHS", 1)), int(os.environ.get("EXPORT_SEED", 0))
# What a model may hold that TFLite has no operator or no integer kernel for, or that its converter and its interpreter
# fail at: seen were a segmentation fault of the one in int8, an abort of the other, files of integers that XNNPACK does
# not take, a bias along the first of three axes (as Keras adds that of
# `EinsumDense("ab,byz->ayz", (2, 1), bias_axes="yz")`), a PReLU or a slice of more axes than four or five, and a
# `UnitNormalization` of zeros, which TFLite divides by zero.
REFUSALS = (
    *("TFLite has no operator for", "still computes in float at", "needs operators that are not built into TFLite"),
    *("file does not run, so ask for another quantization", "ended with the status -11 (int8)"),
    "ended with the status -6 (int8, running the file)",
    *("'tf.Transpose' op x should be of the same rank with y", "'tfl.prelu' op failed to verify"),
    "StridedSlice op only supports 1D-5D",
)
DIVIDES_BY_ZERO = "values not finite; the Keras model"


@pytest.mark.usefixtures("quick_weights")
@seed(SEED)
@settings(
    max_examples=GRAPHS,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    # To shrink a failure takes a conversion for every attempt.
    phases=[Phase.explicit, Phase.generate],
)
@given(programs())
def test_files_of_random_graphs(program):
    model = build(program)
    randomize(model)
    names = [port.name for port in read_signature(model).inputs]
    data = dict(zip(names, random_inputs(model, batch=16), strict=True))
    normalizes = any(isinstance(layer, keras.layers.UnitNormalization) for layer in model._flatten_layers())
    allowed = (*REFUSALS, DIVIDES_BY_ZERO) if normalizes else REFUSALS
    # Both at once take half the time; what is refused together is tried one by one.
    if _refusal(model, ("float32", "int8"), data) is None:
        event("float32 and int8: written")
    else:
        for quantization in ("float32", "int8"):
            error = _refusal(model, quantization, data)
            reasons = [refusal for refusal in allowed if refusal in str(error)]
            assert error is None or reasons, error
            # How often, `--hypothesis-show-statistics` tells.
            event(f"{quantization}: {'written' if error is None else reasons[0]}")


def _refusal(model, quantization, data):
    """The error of an export, which compares every output itself and raises where one is out of bound; or `None`."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            export(model, folder, quantization, data)
        except (ValueError, RuntimeError) as error:
            return error
    return None
