"""The parts that need no conversion: quantized ends, latency, publication, messages of the converter."""

import errno
import os
import shutil
import time

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflite_export import export
from tflite_export.contents import read_contents
from tflite_export.convert import explain
from tflite_export.interpreter import Interpreter, _dequantize, _quantize
from tflite_export.measure import measure_latency
from tflite_export.memory import measure_memory
from tflite_export.publish import publish


@settings(max_examples=50)
@given(
    scale=st.floats(1e-4, 10.0),
    zero_point=st.integers(-128, 127),
    position=st.floats(0.0, 1.0),
)
def test_quantized_end_is_off_by_half_a_step(scale, zero_point, position):
    detail = {"dtype": np.int8, "quantization": (scale, zero_point)}
    value = np.array([((-128 - zero_point) + 255 * position) * scale])
    assert abs(_dequantize(_quantize(value, detail), detail) - value)[0] <= 0.5001 * scale


def test_quantized_end_saturates():
    detail = {"dtype": np.int8, "quantization": (0.5, 10)}
    assert _quantize(np.array([-1e9, 0.0, 0.74, 1e9]), detail).tolist() == [-128, 10, 11, 127]


def test_latency_is_that_of_the_run():
    class Slow:
        def set_inputs(self, sample):
            time.sleep(0.05)

        def invoke(self):
            time.sleep(0.004)

    latency = measure_latency(Slow(), {})
    assert 4.0 <= latency.median_ms < 20.0
    assert 20 <= latency.runs <= 130
    assert latency.spread_ms < 20.0


def test_failed_publication_keeps_the_files_of_before(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.mkdir()
    (target / "a").write_bytes(b"old")
    with pytest.raises(OSError, match="missing"):
        publish({"a": source, "b": tmp_path / "missing"}, target)
    assert [(path.name, path.read_bytes()) for path in target.iterdir()] == [("a", b"old")]
    publish({"a": source, "b": source}, target)
    assert sorted((path.name, path.read_bytes()) for path in target.iterdir()) == [("a", b"new"), ("b", b"new")]


def test_a_disk_that_fills_up_keeps_the_files_of_before(tmp_path, monkeypatch):
    """The second copy ends in the middle, as on a full disk; its half and the first copy are taken away again."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new and long")
    target.mkdir()
    (target / "b").write_bytes(b"old")
    copy = shutil.copyfile

    def copy_until_full(path, to):
        copy(path, to)
        if to.name.startswith(".b"):
            to.write_bytes(b"new")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(to))

    monkeypatch.setattr(shutil, "copyfile", copy_until_full)
    with pytest.raises(OSError, match="No space left"):
        publish({"a": source, "b": source}, target)
    assert [(path.name, path.read_bytes()) for path in target.iterdir()] == [("b", b"old")]


def test_converter_message_becomes_a_sentence():
    lines = [f"error: 'tf.{name}' op is neither a custom op nor a flex op" for name in ("Erfinv", "Atan", "Erfinv")]
    assert explain(RuntimeError("\n".join(lines))).startswith("TFLite has no operator for TensorFlow's Atan, Erfinv.")
    assert explain(RuntimeError("not yet supported for op: 'SIN'.\n ")) == (
        "RuntimeError: not yet supported for op: 'SIN'."
    )
    assert len(explain(ValueError("x" * 5000))) < 1000


def test_pages_of_locations_become_the_name_of_an_operation():
    place = 'fused["BiasAdd:", "net/dense/BiasAdd@__inference_<lambda>_12"] at fused["Call:", "Call"]'
    message = f"<unknown>:0: error: loc(callsite({place})): 'tf.Transpose' op has rank 3\n" * 2
    message += f"<unknown>:0: note: loc({place}): called from"
    assert explain(ValueError(message)) == "ValueError: 'tf.Transpose' op has rank 3 (at net/dense/BiasAdd)"


def test_file_that_is_no_tflite_file_is_refused(tmp_path):
    (tmp_path / "bad.tflite").write_bytes(b"no flatbuffer at all")
    with pytest.raises(ValueError, match="bad.tflite"):
        read_contents(tmp_path / "bad.tflite")
    with pytest.raises(ValueError, match="bad.tflite"):
        Interpreter(tmp_path / "bad.tflite")


def test_contents_know_the_grid_of_the_output(exported):
    _, result = exported
    step = read_contents(result["int8"].path).output_steps["logits"]
    values = Interpreter(result["int8"].path).run({"image": np.zeros((1, 12, 12, 3), "float32")})["logits"]
    assert step > 0 and np.allclose(values / step, np.round(values / step), atol=1e-3)
    assert read_contents(result["float32"].path).output_steps == {"logits": 0.0}


def test_contents_name_what_is_float(exported):
    _, result = exported
    contents = read_contents(result["float32"].path)
    assert [name.split()[0] for name in contents.float_operators] == list(contents.operators)
    assert len(contents.float_weights) == 5
    assert read_contents(result["int8"].path).float_operators == ()


def test_memory_holds_what_a_file_computes_with(tmp_path):
    """Activations of 64 x 64 x 32, and for each layer its weights and where XNNPACK finds the pixels of each window."""
    activation, weights, pointers = 64 * 64 * 32 * 4, 32 * 32 * 9 * 4, 64 * 64 * 9 * 8
    taken = {}
    for depth in (1, 4, 16):
        image = x = keras.Input((64, 64, 32), name="image")
        for _ in range(depth):
            x = keras.layers.Conv2D(32, 3, padding="same", activation="relu")(x)
        file = export(keras.Model(image, x), tmp_path / str(depth), "float32")["float32"]
        sample = {"image": np.ones((1, 64, 64, 32), np.float32)}
        assert measure_memory(file.path, sample) == pytest.approx(file.memory_bytes, rel=0.02)
        taken[depth] = file.memory_bytes
    # The input and the output of one layer; from the fourth layer on, activations lie where others have lain.
    assert 0 < taken[1] - (2 * activation + weights + pointers) < 2**18
    assert taken[16] - taken[4] == pytest.approx(12 * (weights + pointers), rel=0.05)
