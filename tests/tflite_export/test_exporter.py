"""The exporter from end to end: what the files compute, what the result says of them, what a failure leaves behind."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRT
from keras import layers

from tests.models import randomize
from tflite_export import QUANTIZATIONS, Tolerance, export, exporter
from tflite_export.examine import load


def run_file(path, data):
    """Runs a file sample by sample with the bare interpreter, float tensors in and out."""
    runner = LiteRT(model_path=str(path), num_threads=1).get_signature_runner()
    count = len(next(iter(data.values())))
    rows = [runner(**{name: x[i : i + 1] for name, x in data.items()}) for i in range(count)]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def tensor_types(path):
    """The types of the tensors of a file by name, those that the delegate adds left out."""
    return {d["name"]: np.dtype(d["dtype"]).name for d in LiteRT(model_path=str(path)).get_tensor_details()}


def test_float32_file_computes_what_the_model_computes(exported):
    model, result = exported
    fresh = np.random.default_rng(11).normal(size=(16, 12, 12, 3)).astype("float32")
    expected = model.predict(fresh, verbose=0)
    actual = run_file(result["float32"].path, {"image": fresh})["logits"]
    assert np.abs(actual - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.parametrize("quantization", list(QUANTIZATIONS))
def test_figures_are_those_of_the_file(exported, samples, labels, quantization):
    model, result = exported
    file = result[quantization]
    expected = model.predict(samples, verbose=0)
    actual = run_file(file.path, {"image": samples})["logits"]
    error = np.abs(actual - expected)
    assert file.max_abs_error == pytest.approx(error.max(), rel=1e-3, abs=1e-6)
    assert file.mean_abs_error == pytest.approx(error.mean(), rel=1e-3, abs=1e-6)
    assert error.max() <= QUANTIZATIONS[quantization].tolerance.max_error * np.ptp(expected)
    assert file.argmax_agreement == np.mean(actual.argmax(1) == expected.argmax(1))
    assert file.accuracy == np.mean(actual.argmax(1) == labels)
    assert file.bytes == file.path.stat().st_size
    assert 0 < file.latency_ms < 100 and file.latency_spread_ms >= 0


def test_quantized_files_are_smaller(exported):
    _, result = exported
    assert result["int8_dynamic"].bytes < result["int8"].bytes < result["float32"].bytes
    assert result["float16"].bytes < result["float32"].bytes
    assert result["int4_weights"].bytes < result["int8_dynamic"].bytes


@pytest.mark.parametrize("quantization, activations", [("int8", "int8"), ("int16x8", "int16")])
def test_integer_files_are_float_at_the_ends_alone(exported, quantization, activations):
    _, result = exported
    types = list(tensor_types(result[quantization].path).values())
    assert types.count("float32") == 2
    assert types.count(activations) > 8
    assert {"QUANTIZE", "DEQUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD"} <= set(result[quantization].operators)


def test_dynamic_range_quantizes_small_layers_too(exported):
    _, result = exported
    # Three convolutions, a depthwise one and a dense layer, all but one of fewer than 1024 weights.
    assert list(tensor_types(result["int8_dynamic"].path).values()).count("int8") == 5
    assert result["int8_dynamic"].float_weights == ()


@pytest.mark.parametrize("units", [4, 600])
def test_weights_that_stay_in_float_are_named_in_small_files_and_in_large_ones(tmp_path, units):
    # What is large is stored behind the FlatBuffer.
    image = keras.Input((12, 12, 3), name="image")
    x = layers.Dense(units)(layers.Flatten()(layers.DepthwiseConv2D(3, name="depthwise")(image)))
    model = keras.Model(image, x)
    file = export(model, tmp_path, "int4_weights", weight_bits={"depthwise": 32})["int4_weights"]
    assert [("depthwise" in name) for name in file.float_weights] == [True]


def test_report_beside_the_files_holds_the_figures(exported):
    _, result = exported
    report = json.loads((result.directory / "export.json").read_text())
    assert sorted(os.listdir(result.directory)) == sorted([*(f"{q}.tflite" for q in QUANTIZATIONS), "export.json"])
    assert [row["quantization"] for row in report["files"]] == list(result)
    for row in report["files"]:
        file = result[row["quantization"]]
        assert (row["path"], row["bytes"], row["max_abs_error"], row["latency_ms"], row["accuracy"]) == (
            file.path.name,
            file.bytes,
            file.max_abs_error,
            file.latency_ms,
            file.accuracy,
        )


def test_table_names_every_file_and_its_size(exported):
    _, result = exported
    lines = str(result).splitlines()
    for file in result.values():
        (line,) = [line for line in lines if line.split()[:1] == [file.quantization]]
        assert line.split()[1:3] == [f"{file.bytes:,}", f"{file.max_abs_error:.2e}"]
    assert f"accuracy of the Keras model on the same samples: {result.keras_accuracy:.2%}" in lines
    assert not [line for line in lines if "left in float32" in line]


def test_several_inputs_and_outputs_with_integer_io(tmp_path):
    left, right = keras.Input((6, 6, 2), name="left"), keras.Input((5,), name="right")
    x = layers.Concatenate()([layers.Flatten()(layers.Conv2D(4, 3)(left)), right])
    outputs = {"score": layers.Dense(3, name="score")(x), "aux": layers.Dense(1, name="aux")(x)}
    model = keras.Model({"right": right, "left": left}, outputs)
    generator = np.random.default_rng(1)
    data = {"left": generator.normal(size=(32, 6, 6, 2)), "right": generator.normal(size=(32, 5)).astype("float32")}
    result = export(model, tmp_path / "new" / "deep", "int8", data, integer_io=True)
    expected = model.predict(data, verbose=0)
    runner = LiteRT(model_path=str(result["int8"].path)).get_signature_runner()
    details = {**runner.get_input_details(), **runner.get_output_details()}
    assert {name: d["dtype"] for name, d in details.items()} == dict.fromkeys(
        ("left", "right", "score", "aux"), np.int8
    )
    assert "float32" not in tensor_types(result["int8"].path).values()
    by_name = {output.name: output for output in result["int8"].outputs}
    assert by_name["score"].span == pytest.approx(np.ptp(expected["score"]), rel=1e-4)
    assert by_name["aux"].argmax_agreement is None
    assert 0 < by_name["aux"].max_abs < 0.05 * np.ptp(expected["aux"])


def broken(model, value):
    model.layers[1].kernel.assign(np.full(model.layers[1].kernel.shape, value, "float32"))
    return model


def with_value(samples, value):
    changed = samples.copy()
    changed[3, 0, 0, 0] = value
    return changed


BAD_CALLS = {
    "unknown quantization": (lambda m, x: dict(quantization=("float32", "int7")), ValueError, "int16x8"),
    "no quantization": (lambda m, x: dict(quantization=()), ValueError, "one or more"),
    "quantization twice": (lambda m, x: dict(quantization=("int8", "int8")), ValueError, "different"),
    "no representative data": (lambda m, x: dict(representative_data=None), ValueError, "representative_data=None"),
    "NaN in the data": (lambda m, x: dict(representative_data=with_value(x, np.nan)), ValueError, "1 values"),
    "infinity in the data": (lambda m, x: dict(verification_data=with_value(x, np.inf)), ValueError, "verification_d"),
    "too large for float32": (lambda m, x: dict(representative_data=x.astype(float) * 1e300), ValueError, "finite"),
    "wrong shape": (lambda m, x: dict(representative_data=x[:, :6]), ValueError, r"\(samples, 12, 12, 3\)"),
    "no batch axis": (lambda m, x: dict(representative_data=x[0]), ValueError, r"\(12, 12, 3\)"),
    "no sample": (lambda m, x: dict(representative_data=x[:0]), ValueError, "one sample or more"),
    "ragged": (lambda m, x: dict(representative_data=[x[0], x[1, :5]]), ValueError, "one shape"),
    "strings": (lambda m, x: dict(representative_data=x.astype(str)), TypeError, "numbers"),
    "a generator": (lambda m, x: dict(representative_data=iter(x)), TypeError, "numpy.stack"),
    "unknown input": (lambda m, x: dict(representative_data={"picture": x}), ValueError, "'picture'"),
    "too few labels": (lambda m, x: dict(labels=np.zeros(3, int)), ValueError, r"\(48,\)"),
    "label out of range": (lambda m, x: dict(labels=np.full(48, 10)), ValueError, "between 0 and 9"),
    "labels of floats": (lambda m, x: dict(labels=np.zeros(48)), TypeError, "float64"),
    "NaN weights": (lambda m, x: dict(model=broken(m, np.nan)), ValueError, "kernel.*216 values"),
    "infinite weights": (lambda m, x: dict(model=broken(m, -np.inf)), ValueError, "kernel"),
    "answers of NaN": (lambda m, x: dict(model=broken(m, 3e38)), ValueError, "logits"),
    "integer ends of floats": (lambda m, x: dict(quantization="float32", integer_io=True), ValueError, "int16x8"),
    "tolerance of none": (lambda m, x: dict(tolerance={"int16x8": Tolerance(1, 1)}), ValueError, "tolerance"),
    "no path": (lambda m, x: dict(directory=7), TypeError, "directory=7"),
    "a subclass": (lambda m, x: dict(model=type("Odd", (keras.Model,), {})()), ValueError, "functional"),
    "open shape": (lambda m, x: dict(model=open_shape()), ValueError, "None"),
    "fixed batch": (lambda m, x: dict(model=fixed_batch()), ValueError, r"\(4, 3\)"),
    "half precision": (lambda m, x: dict(model=half()), ValueError, "mixed_float16"),
    "quantized already": (lambda m, x: dict(model=quantized()), ValueError, "'inner'.*int8"),
}


def open_shape():
    image = keras.Input((None, None, 3))
    return keras.Model(image, layers.GlobalAveragePooling2D()(image))


def fixed_batch():
    return keras.Sequential([keras.Input(batch_shape=(4, 3)), layers.Dense(2)])


def half():
    return keras.Sequential([keras.Input((3,)), layers.Dense(2, dtype="mixed_float16")])


def quantized():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="inner")])
    model.quantize("int8")
    return model


def listing(directory):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()}


@pytest.fixture
def earlier(tmp_path):
    """A directory with the files of an earlier export, which a failure has to leave alone."""
    directory = tmp_path / "earlier"
    directory.mkdir()
    (directory / "int8.tflite").write_bytes(b"an earlier file")
    (directory / "export.json").write_text("{}")
    return directory


@pytest.mark.parametrize("case", list(BAD_CALLS))
def test_bad_call_is_refused_before_anything_happens(make_model, samples, earlier, monkeypatch, case):
    monkeypatch.setattr(exporter, "convert_in_child", lambda *args, **options: pytest.fail("converted"))
    change, error, message = BAD_CALLS[case]
    before = listing(earlier)
    arguments = dict(model=make_model(), directory=earlier, quantization="int8", representative_data=samples)
    with pytest.raises(error, match=f"(?s){message}") as caught:
        export(**(arguments | change(arguments["model"], samples)))
    assert "Received: " in str(caught.value)
    assert listing(earlier) == before


def test_directory_that_cannot_be_made_is_refused(make_model, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="directory.*Not a directory"):
        export(make_model(), tmp_path / "file" / "exported", "float32")
    assert os.listdir(tmp_path) == ["file"]


def test_file_out_of_bound_is_not_published(exported, make_model, samples, earlier, monkeypatch):
    _, result = exported
    paths = {file.quantization: file.path for file in result.values()}
    monkeypatch.setattr(exporter, "convert_in_child", lambda *args, **options: paths)
    before = listing(earlier)
    strict = {"float16": Tolerance(1e-9, 1e-9)}
    with pytest.raises(ValueError, match=r"float16 file is out of bound at the output 'logits'"):
        export(make_model(), earlier, ("float32", "int8", "float16"), samples, tolerance=strict)
    assert listing(earlier) == before
    export(make_model(), earlier, ("float32", "int8"), samples)
    assert (earlier / "int8.tflite").read_bytes() == result["int8"].path.read_bytes()


def test_file_of_another_model_is_not_published(exported, make_model, samples, tmp_path, monkeypatch):
    _, result = exported
    monkeypatch.setattr(exporter, "convert_in_child", lambda *args, **options: {"float32": result["float32"].path})
    other = make_model()
    other.layers[-1].kernel.assign(other.layers[-1].kernel * 1.001)
    with pytest.raises(ValueError, match="float32 file is out of bound"):
        export(other, tmp_path / "new", "float32", samples)
    assert os.listdir(tmp_path) == []


MODULE = """
import os
import sys

import keras

from tflite_export import interpreter


class Sine(keras.layers.Layer):
    def call(self, x):
        return keras.ops.sin(x)


class InverseError(keras.layers.Layer):
    def call(self, x):
        return keras.ops.erfinv(keras.ops.tanh(x))


@keras.saving.register_keras_serializable("doomed")
class Doomed(keras.layers.Layer):
    def call(self, x):
        if "DOOM_THE_CHILD" in os.environ:
            sys.stderr.write("pass 3 failed\\n")
            sys.stderr.flush()
            os.abort()
        return x


if "DOOM_THE_RUN" in os.environ:
    interpreter.litert.Interpreter = lambda **options: os.abort()
"""


@pytest.fixture
def custom(tmp_path, monkeypatch):
    """A module with layers of a user's own, and a function that builds a model around one."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "own_layers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "own_layers", raising=False)
    import own_layers

    def build(name):
        image = keras.Input((6, 6, 2), name="image")
        x = getattr(own_layers, name)(name="own")(layers.Conv2D(4, 3, name="before")(image))
        return keras.Model(image, layers.Conv2D(2, 3, name="after")(x), name=name.lower())

    return build


SMALL = np.random.default_rng(2).normal(size=(16, 6, 6, 2)).astype("float32")


def test_float_where_integers_were_asked_is_named(custom, earlier):
    before = listing(earlier)
    with pytest.raises(ValueError, match=r"int8 file still computes in float at SIN \(.*own.*Sin\)"):
        export(custom("Sine"), earlier, "int8", SMALL)
    assert listing(earlier) == before


def test_operation_without_operator_is_named(custom, earlier):
    before = listing(earlier)
    with pytest.raises(ValueError, match=r"\(float32\): TFLite has no operator for TensorFlow's Erfinv.*inverseerror"):
        export(custom("InverseError"), earlier, "float32", SMALL)
    assert listing(earlier) == before


def test_crash_of_the_child_is_an_error_of_the_caller(custom, earlier, monkeypatch):
    model = custom("Doomed")
    write_request = exporter.convert_in_child.__globals__["write_request"]

    def doom(*args):
        write_request(*args)
        monkeypatch.setenv("DOOM_THE_CHILD", "1")

    # The layer has to survive until the child has the model, since the caller runs it too.
    monkeypatch.setitem(exporter.convert_in_child.__globals__, "write_request", doom)
    before = listing(earlier)
    with pytest.raises(RuntimeError, match=r"status -6 \(loading\).*pass 3 failed.*model='doomed'"):
        export(model, earlier, "float32", SMALL)
    assert listing(earlier) == before


def test_file_that_ends_the_process_does_so_in_the_child(custom, earlier, monkeypatch):
    model = custom("Doomed")
    monkeypatch.setenv("DOOM_THE_RUN", "1")
    before = listing(earlier)
    with pytest.raises(RuntimeError, match=r"status -6 \(int8, running the file\).*model='doomed'"):
        export(model, earlier, "int8", SMALL)
    assert listing(earlier) == before


def test_recurrent_layers_are_unrolled_where_activations_are_integers(tmp_path):
    """On their loops the converter dies. Gates it sometimes leaves in float, so there are none here."""
    steps = keras.Input((5, 3), name="steps")
    x = layers.SimpleRNN(4, return_sequences=True, name="first")(steps)
    x = layers.Bidirectional(layers.SimpleRNN(3), name="both")(x)
    model = keras.Model(steps, layers.Dense(2)(x))
    randomize(model)
    data = np.random.default_rng(0).normal(size=(64, 5, 3)).astype("float32")
    result = export(model, tmp_path, ("float32", "int8"), data)
    assert "WHILE" in result["float32"].operators and "WHILE" not in result["int8"].operators
    assert result["int8"].argmax_agreement > 0.9 and not model.get_layer("first").unroll


def test_layer_of_the_running_script_is_refused_by_name(make_model, samples, tmp_path):
    local = type("Local", (layers.Layer,), {"__module__": "__main__", "call": lambda self, x: x})
    model = keras.Sequential([keras.Input((3,)), local(name="mine")])
    with pytest.raises(ValueError, match="'mine'.*Move the class into a module.*Local"):
        export(model, tmp_path / "new", "float32")
    assert os.listdir(tmp_path) == []


def test_file_that_does_not_run_is_an_error(tmp_path):
    (tmp_path / "int8.tflite").write_bytes(b"no flatbuffer at all")
    with pytest.raises(ValueError, match="The int8 file does not run.*The interpreter says: .+ Received: quantization"):
        load(tmp_path / "int8.tflite", QUANTIZATIONS["int8"])


def test_import_does_not_load_a_framework():
    code = (
        "import sys, tflite_export, tflite_export.__main__\n"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_inputs_without_a_name_of_their_own(tmp_path):
    # Keras counts unnamed tensors, so that their names differ from process to process.
    inputs = [keras.Input((4,)), keras.Input((3,))]
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Concatenate()(inputs)))
    rng = np.random.default_rng(0)
    data = [rng.normal(size=(20, size)).astype("float32") for size in (4, 3)]
    result = export(model, tmp_path, quantization="int8", representative_data=data)
    assert result["int8"].mean_abs_error < 0.05 * result["int8"].outputs[0].span
