"""`export`: check, convert, verify, measure, publish."""

import dataclasses
import importlib.metadata
import pathlib
import platform
import tempfile

import numpy as np

from tflite_export import data
from tflite_export.child import convert_in_child
from tflite_export.examine import Examiner
from tflite_export.layer_bits import check_weight_bits
from tflite_export.metadata import attach, check_metadata, describe
from tflite_export.micro import c_array, check_micro
from tflite_export.model_checks import check_model
from tflite_export.publish import check_directory, publish
from tflite_export.quantization import QUANTIZATIONS, Tolerance, check_data, lookup
from tflite_export.result import ExportResult
from tflite_export.signature import predict
from tflite_export.verify import accuracy


def export(
    model,
    directory,
    quantization=("float32", "float16", "int8"),
    representative_data=None,
    labels=None,
    *,
    verification_data=None,
    integer_io=False,
    tolerance=None,
    weight_bits=None,
    dynamic_batch=False,
    threads=1,
    metadata=None,
    micro=False,
):
    """Writes a Keras model as TFLite files that are verified and measured.

    Each file is converted in a process of its own, run by the LiteRT interpreter on every verification sample, compared
    with the Keras model, and timed on one sample. Only when all files are within their bounds do they appear in the
    directory, as `float32.tflite` and so on, with the figures beside them in `export.json`. Whatever fails before, the
    directory stays as it was.

    Args:
        model: A built functional or Sequential `keras.Model` that computes in float32. It is not changed.
        directory: Where the files go; made if it is not there.
        quantization: One or more of `"float32"`, `"float16"`, `"int8_dynamic"` (int8 weights), `"int4_weights"` (int4
            weights, int8 in depthwise convolutions), `"int8"` (int8 weights and activations), `"int16x8"` (int8
            weights, int16 activations).
        representative_data: Samples that set the ranges of the activations, as the model takes them: an array with
            the samples on its first axis, a list of such, or a dict from input name to array. Some hundred do. Needed
            for `"int8"` and `"int16x8"`.
        labels: The right classes of the verification samples, integers, to count accuracy with.
        verification_data: Samples to verify and time on, in the same form. Default: `representative_data`, or without
            them 32 standard normal samples.
        integer_io: Whether `"int8"` and `"int16x8"` files take and return integers instead of float32.
        tolerance: Dict from the name of a quantization to a `Tolerance` that takes the place of the table's.
        weight_bits: Dict from the path of a layer (`"conv2d_3"`, `"encoder/dense"`) to the bits of its weights in
            `"int8_dynamic"` and `"int4_weights"` files: 4, 8, or 32, which leaves them in float.
        dynamic_batch: Whether the files take any number of samples at once instead of one.
        threads: How many threads the files run on when they are verified and timed.
        metadata: Dict that JSON can hold, put into every file together with the model's name, a hash of its weights and
            the version of this library, for `read_metadata` and for any tool that opens zip archives. A list `"labels"`
            of the names of the classes becomes `labels.txt` there. `None` leaves the files as they are.
        micro: Whether each file is run under tflite-micro as well: its tensor arena is measured, and beside it appear a
            header and a source file of C++ (`int8_model.h`, `int8_model.cc`) for firmware, without metadata. Needs the
            extra `micro`. A file that tflite-micro cannot run says why.

    Returns:
        An `ExportResult`.

    Raises:
        ValueError: If an argument does not fit, the model holds NaN or infinite weights, the converter refuses it, or
            a file is out of bound or still computes in float where integers were asked.
        TypeError: If an argument is of the wrong type.
        RuntimeError: If the process that converts dies.

    Example:

    ```python
    result = export(model, "runs/export", quantization=("float32", "int8"), representative_data=x_train[:256])
    print(result)
    result["int8"].bytes, result["int8"].max_abs_error, result["int8"].latency_ms
    ```
    """
    rows = _rows(quantization, tolerance, representative_data is not None, integer_io)
    signature = check_model(model)
    weight_bits = check_weight_bits(weight_bits, model, rows)
    calibration = None
    if representative_data is not None:
        calibration = data.as_arrays(representative_data, signature, "representative_data")
    samples, origin = _samples(verification_data, calibration, signature)
    if labels is not None:
        labels = data.as_labels(labels, signature, _count(samples))
    if micro:
        check_micro()
    metadata = check_metadata(metadata, signature)
    _check_running(threads, dynamic_batch, signature)
    directory = check_directory(directory)
    examiner = Examiner(samples, _reference(model, signature, samples), labels, threads, micro)
    with tempfile.TemporaryDirectory(prefix="tflite_export_") as folder:
        options = {"integer_io": integer_io, "dynamic_batch": dynamic_batch, "weight_bits": weight_bits}
        paths = convert_in_child(model, rows, folder, calibration, **options)
        examined = [examiner.examine(paths[row.name], row) for row in rows]
        sources = [path for file in examined for path in _finish(file, model, metadata)]
        files = tuple(_published(file, directory) for file in examined)
        keras_accuracy = None if labels is None else accuracy(*examiner.reference.values(), labels)
        result = ExportResult(
            model.name, directory, files, _count(samples), origin, threads, keras_accuracy, _environment()
        )
        report = pathlib.Path(folder) / "export.json"
        report.write_text(result.to_json())
        publish({path.name: path for path in (*sources, report)}, directory)
    return result


def _finish(file, model, metadata):
    """Adds what is to appear with a file that has been examined; the paths of all that is published for it."""
    paths = [file.path]
    if file.arena_bytes is not None:
        name = f"{file.quantization}_model"
        for suffix, text in zip((".h", ".cc"), c_array(file.path.read_bytes(), name), strict=True):
            # As the source includes the header.
            paths.append(file.path.with_name(name + suffix))
            paths[-1].write_text(text)
    if metadata is not None:
        attach(file.path, {**describe(model), "quantization": file.quantization, **metadata})
    return paths


def _published(file, directory):
    """A file as it will be in its directory."""
    return dataclasses.replace(file, path=directory / file.path.name, bytes=file.path.stat().st_size)


def _rows(quantization, tolerance, has_data, integer_io):
    """The rows of the table that are asked, with the caller's tolerances; refuses what does not go together."""
    rows = lookup(quantization)
    check_data(rows, has_data)
    if integer_io and not any(row.activations for row in rows):
        able = [row.name for row in QUANTIZATIONS.values() if row.activations]
        raise ValueError(
            f"`integer_io` goes with a quantization of integer activations: {', '.join(able)}. "
            f"Received: integer_io=True, quantization={quantization!r}"
        )
    tolerance = {} if tolerance is None else tolerance
    names = [row.name for row in rows]
    if not all(name in names and isinstance(value, Tolerance) for name, value in tolerance.items()):
        raise ValueError(
            f"`tolerance` must be a dict from a quantization that is asked ({', '.join(names)}) to a `Tolerance`. "
            f"Received: tolerance={tolerance!r}"
        )
    return tuple(dataclasses.replace(row, tolerance=tolerance.get(row.name, row.tolerance)) for row in rows)


def _check_running(threads, dynamic_batch, signature):
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise ValueError(f"`threads` must be an integer of at least 1. Received: threads={threads!r}")
    if dynamic_batch and signature.fixed_batch:
        raise ValueError(
            "`dynamic_batch` needs a model whose batch size is open: give `keras.Input` a shape, not a batch shape. "
            "Received: dynamic_batch=True for a model with batch size 1"
        )


def _samples(verification_data, calibration, signature):
    if verification_data is not None:
        return data.as_arrays(verification_data, signature, "verification_data"), "verification_data"
    if calibration is not None:
        return calibration, "representative_data"
    return data.random_arrays(signature), "standard normal samples, seed 0"


def _count(samples):
    return len(next(iter(samples.values())))


def _reference(model, signature, samples):
    reference = predict(model, signature, samples)
    for name, values in reference.items():
        if not np.isfinite(values).all():
            raise ValueError(
                "The model must answer with finite values on the verification samples. "
                f"Received: model={model.name!r}, whose output {name!r} is NaN or infinite"
            )
    return reference


def _environment():
    packages = ("keras", "tensorflow", "ai-edge-litert")
    return {
        "processor": _processor(),
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
    }


def _processor():
    """The name of the processor where the system tells it, else its architecture."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
