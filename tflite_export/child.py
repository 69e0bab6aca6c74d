"""Starts the child process that converts, and tells its failures apart.

TensorFlow's converter leaks memory at each call (tensorflow/tensorflow issue 122598) and can end the process on a bug
of its own. In a process of its own neither reaches the caller, who may be in the middle of a training, and the caller
may use any Keras backend.
"""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np

from cgap_keras.structure.graph import as_functional, trace


def convert_in_child(model, quantizations, folder, calibration, **options):
    """Converts a model in a process of its own, once for each quantization.

    Args:
        model: A functional or Sequential model.
        quantizations: The rows of the table that are asked.
        folder: An empty directory for what passes between the processes.
        calibration: Dict from input name to an array of samples, or `None`.
        **options: `integer_io`, whether files of integers take and return integers; `dynamic_batch`, whether the batch
            size stays open; `weight_bits`, a dict from the path of a layer to bits. By default neither, and no layer.

    Returns:
        Dict from the name of a quantization to the path of its file in `folder`.

    Raises:
        ValueError: If the model cannot be saved, or the converter refuses it.
        RuntimeError: If the child process dies.
    """
    folder = pathlib.Path(folder)
    names = [row.name for row in quantizations]
    if calibration is not None:
        np.savez(folder / "calibration.npz", **calibration)
    write_request(model, {"quantizations": names, **options}, folder)
    finished = run_module("tflite_export.convert", folder)
    if finished.returncode:
        raise failure(finished, model, folder)
    return {name: folder / f"{name}.tflite" for name in names}


def run_module(name, *arguments, **variables):
    """Runs a module of this package in a process of its own.

    Args:
        name: The name of the module.
        *arguments: What follows it on the command line.
        **variables: Environment variables beside those that every child gets.

    Returns:
        The `subprocess.CompletedProcess`, with what it printed as text.
    """
    command = [sys.executable, "-m", name, *map(str, arguments)]
    return subprocess.run(
        command, env={**environment(), **variables}, capture_output=True, text=True, errors="replace", check=False
    )


def write_request(model, request, folder):
    """Leaves a model and what is asked of it for a child process.

    Args:
        model: A functional or Sequential model.
        request: A dict that JSON can hold.
        folder: Where `model.keras` and `request.json` go, which names the classes of the model's layers besides.

    Raises:
        ValueError: If the model cannot be saved, or a class cannot be imported elsewhere.
    """
    functional = as_functional(model)
    try:
        # Without the compile state: optimizer slots would double the file, and a loss need not be serializable.
        keras.Model(functional.input, functional.output, name=model.name).save(folder / "model.keras")
    except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
        raise ValueError(
            f"The model must be one that Keras can save, to be handed to the converter: {error} "
            f"Received: model={model.name!r}"
        ) from error
    (folder / "request.json").write_text(json.dumps({**request, "classes": _classes(model)}))


def _classes(model):
    """Where the classes of the model's layers are defined, as pairs of module and name, without Keras's own."""
    operations = [call.operation for call in trace(model).calls]
    for operation in operations:
        if type(operation).__module__ == "__main__":
            raise ValueError(
                f"The layer {operation.name!r} is of a class defined in the running script, which the converter's "
                "process cannot import. Move the class into a module and import it from there. "
                f"Received: a layer of type {type(operation).__name__}"
            )
    classes = {(type(operation).__module__, type(operation).__qualname__) for operation in operations}
    return sorted(pair for pair in classes if pair[0].split(".")[0] != "keras")


def environment():
    """The environment variables of a child process: the caller's modules, TensorFlow, no accelerator."""
    variables = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    variables.update(
        KERAS_BACKEND="tensorflow",
        # The accelerator is the caller's; the converter has no use for one.
        CUDA_VISIBLE_DEVICES="-1",
        TF_CPP_MIN_LOG_LEVEL="2",
        PYTHONPATH=os.pathsep.join(path or os.getcwd() for path in sys.path),
    )
    return variables


def failure(finished, model, folder, purpose="converted"):
    """The exception for a child that failed.

    Args:
        finished: The `subprocess.CompletedProcess`.
        model: The model that was handed over.
        folder: The directory that passed between the processes.
        purpose: What was to become of the model, a participle.

    Returns:
        A `ValueError` with the child's own words if it left any, else a `RuntimeError` that tells how it died.
    """
    stage, error = folder / "stage", folder / "error"
    where = stage.read_text() if stage.exists() else "loading"
    if error.exists():
        return ValueError(
            f"The model cannot be {purpose} ({where}): {error.read_text()} Received: model={model.name!r}"
        )
    lines = [line for line in finished.stderr.splitlines() if line.strip()]
    return RuntimeError(
        f"The process by which the model is {purpose} ended with the status {finished.returncode} ({where}). Its last "
        f"words: {lines[-1] if lines else 'none'!r}. Received: model={model.name!r}"
    )
