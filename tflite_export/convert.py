"""The child process: loads a saved Keras model and writes a .tflite file for each quantization asked.

Run as `python -m tflite_export.convert FOLDER`, on the TensorFlow backend. `FOLDER` holds `model.keras`,
`request.json` and perhaps `calibration.npz`; the files are left there. The file `stage` says how far it came, so that
a crash can be told from a refusal.
"""

import contextlib
import functools
import importlib
import json
import pathlib
import re
import sys

import numpy as np

from tflite_export.interpreter import Interpreter
from tflite_export.quantization import Source, lookup

_LONGEST_MESSAGE = 800


def main(folder):
    """Does what `request.json` in the folder asks."""
    folder = pathlib.Path(folder)
    sys.excepthook = lambda kind, error, trace: report(folder, kind, error, trace)
    request = json.loads((folder / "request.json").read_text())
    classes = {name: find_class(module, name) for module, name in request["classes"]}
    model, signature, bits = _load(folder, classes, request.get("weight_bits"))
    loops = _recurrent_layers(model, signature)

    @functools.cache
    def source(unrolled):
        place = folder / ("unrolled" if unrolled else "saved_model")
        with _unrolled(loops if unrolled else ()):
            _save(model, signature, place, batch_size=None if request.get("dynamic_batch") else 1)
        return Source(str(place), _calibration(folder), request.get("integer_io", False), bits)

    for row in lookup(request["quantizations"]):
        path = folder / f"{row.name}.tflite"
        (folder / "stage").write_text(row.name)
        path.write_bytes(row.build(source(bool(loops and row.activations))))
        (folder / "stage").write_text(f"{row.name}, running the file")
        _try_out(path, signature)


def _try_out(path, signature):
    """Runs a file once: on some, XNNPACK ends the process, which here takes nobody with it."""
    zeros = {port.name: np.zeros((1, *port.shape), "float32") for port in signature.inputs}
    # What it says in words, the caller hears when it loads the file.
    with contextlib.suppress(ValueError, RuntimeError):
        Interpreter(path).run(zeros)


def find_class(module, name):
    """The class of a layer. Importing its module is enough where the class is registered with Keras, not elsewhere."""
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


def _load(folder, classes, weight_bits):
    """The model, its signature, and a dict from the mark of a layer to the bits of its weights."""
    import keras

    from tflite_export.layer_bits import mark_layers
    from tflite_export.signature import read_signature

    # The caller's own live model was saved a moment ago, so its Lambda layers are as trustworthy as the caller.
    model = keras.models.load_model(folder / "model.keras", custom_objects=classes, compile=False, safe_mode=False)
    # Before layers are renamed: an output has the name of its layer.
    signature = read_signature(model)
    marks = mark_layers(model) if weight_bits else {}
    return model, signature, {marks[path]: bits for path, bits in (weight_bits or {}).items()}


def _recurrent_layers(model, signature):
    """The layers that loop over steps, where their number is known.

    Without a stack of one cell, in which Keras 3.15 mistakes the states of an `LSTMCell` when it is unrolled.
    """
    import keras

    known = all(None not in port.shape for port in signature.inputs)
    layers = [layer for layer in model._flatten_layers() if known and isinstance(layer, keras.layers.RNN)]
    return [layer for layer in layers if not hasattr(layer.cell, "cells") or len(layer.cell.cells) > 1]


@contextlib.contextmanager
def _unrolled(recurrent):
    """Has layers run step after step without a loop: on a loop, the quantizer of activations ends the process."""
    before = [layer.unroll for layer in recurrent]
    for layer in recurrent:
        layer.unroll = True
    yield
    for layer, unroll in zip(recurrent, before, strict=True):
        layer.unroll = unroll


def _save(model, signature, place, batch_size):
    """Writes the model as a SavedModel with one signature to a directory.

    A SavedModel, because the converter's way from concrete functions loses the variables of a Keras 3 model and
    yields NaN, and because its signature keeps the names of inputs and outputs.
    """
    import keras
    import tensorflow as tf

    from tflite_export.signature import call

    spec = {
        port.name: tf.TensorSpec((batch_size, *port.shape), port.dtype, name=port.name) for port in signature.inputs
    }
    names = [port.name for port in signature.outputs]
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default", lambda tensors: dict(zip(names, call(model, tensors), strict=True)), input_signature=[spec]
    )
    archive.write_out(place, verbose=False)


def _calibration(folder):
    path = folder / "calibration.npz"
    if not path.exists():
        return ()
    with np.load(path, allow_pickle=False) as arrays:
        data = {name: arrays[name] for name in arrays.files}
    count = len(next(iter(data.values())))
    return tuple({name: x[i : i + 1] for name, x in data.items()} for i in range(count))


def report(folder, kind, error, trace):
    """Leaves the reason for the parent to find, before Python prints the whole trace."""
    (folder / "error").write_text(explain(error))
    sys.__excepthook__(kind, error, trace)


def explain(error):
    """One sentence or paragraph that says what the converter objects to.

    Args:
        error: The exception.

    Returns:
        The operations that TFLite lacks, where the message names some; else the message, shortened.
    """
    message = str(error).strip()
    missing = sorted(set(re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", message)))
    if missing:
        return f"TFLite has no operator for TensorFlow's {', '.join(missing)}. Replace the layer that calls it."
    message = _without_locations(message)
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]} ..."
    return f"{type(error).__name__}: {message}"


def _without_locations(message):
    """The converter's words, each line once, with the name of the first operation in place of a page of locations."""
    places = re.findall(r'"([^"@]+)@__inference', message)
    lines = [_cut_location(line) for line in message.splitlines() if ": note:" not in line]
    return "\n".join(dict.fromkeys(lines)) + (f" (at {places[0]})" if places else "")


def _cut_location(line):
    """The line without `loc(...)`, in which there are parentheses, and what stands before."""
    start = line.find("loc(")
    if start < 0:
        return line
    depth = 0
    for end, letter in enumerate(line[start:], start):
        depth += (letter == "(") - (letter == ")")
        if letter == ")" and not depth:
            return line[end + 1 :].lstrip(": ")
    return line


if __name__ == "__main__":
    main(sys.argv[1])
