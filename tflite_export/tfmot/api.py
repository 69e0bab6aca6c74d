"""`optimize`: hands a model and data to the child process, and takes back what came of them."""

import dataclasses
import importlib.util
import json
import pathlib
import tempfile

import keras
import numpy as np

import cgap_keras
from cgap_keras.structure.graph import trace
from tflite_export.child import failure, run_module, write_request
from tflite_export.data import as_arrays
from tflite_export.examine import Examiner
from tflite_export.model_checks import check_model
from tflite_export.publish import check_directory, publish
from tflite_export.quantization import QUANTIZATIONS, Tolerance
from tflite_export.result import ExportedFile
from tflite_export.tfmot.techniques import QuantizeModel, check_techniques, to_json

# The file and the model that was trained for it round alike, but sum in different orders, so that a value near a half
# may fall to the other side. On the zoo the mean error was at most 0.4 % of the range.
_ROW = dataclasses.replace(QUANTIZATIONS["int8"], name="quantized", tolerance=Tolerance(0.1, 0.02, 0.95))


@dataclasses.dataclass(frozen=True)
class Optimized:
    """What came of the techniques.

    Attributes:
        model: A Keras 3 model with the new weights, or `None` where the last technique quantizes.
        file: Where the last technique quantizes, the int8 file as an `ExportedFile`, whose errors are those against the
            model that was trained for it; or `None`.
        history: Dict from the name of a technique to the mean training loss of each of its epochs.
    """

    model: keras.Model | None
    file: ExportedFile | None
    history: dict


def optimize(
    model,
    x,
    y,
    techniques,
    directory=None,
    *,
    loss=None,
    epochs=1,
    batch_size=32,
    learning_rate=1e-4,
    seed=0,
):
    """Trains a model on with techniques of tensorflow-model-optimization: sparsity, clustering, quantization.

    tensorflow-model-optimization works on tf_keras, so a process of its own copies the model there, proves that the
    copy answers alike, and trains it with Adam. The model itself is not changed. Needs the extra `tfmot`.

    Args:
        model: A built functional or Sequential `keras.Model` of float32 whose layers tf_keras has too.
        x: Training samples as the model was trained on them, augmented if it was: an array, a list of arrays, or a dict
            from input name to array. Statistics of batch normalisation follow them, and the ranges of activations begin
            with them.
        y: Targets: an array, or a list of arrays in the order of the outputs.
        techniques: One or more of `PruneLowMagnitude`, `ClusterWeights`, `QuantizeModel`, in this order; each keeps
            what the one before it has made.
        directory: Where `quantized.tflite` goes if the last technique is `QuantizeModel`; needed then. The file has
            integers inside and float32 at its ends.
        loss: A `keras.losses.Loss`, or one for each output. Default: sparse categorical cross-entropy of logits.
        epochs: Epochs of each technique.
        batch_size: Samples a step.
        learning_rate: Of Adam.
        seed: Seed of the order of the samples, and of what the techniques draw.

    Returns:
        An `Optimized`.

    Raises:
        ValueError: If an argument does not fit, tf_keras has no such layer, or a technique refuses the model.
        TypeError: If an argument is of the wrong type.
        RuntimeError: If the process dies.

    Example:

    ```python
    from tflite_export import export, tfmot

    sparse = tfmot.optimize(model, x_train, y_train, [tfmot.PruneLowMagnitude(), tfmot.ClusterWeights(16)])
    export(sparse.model, "files", "int8_dynamic")
    tfmot.optimize(model, x_train, y_train, tfmot.QuantizeModel(), "files").file.bytes
    ```
    """
    techniques = check_techniques(techniques)
    _check_installed()
    signature = check_model(model)
    inputs = list(as_arrays(x, signature, "x").values())
    targets = _targets(y, signature, len(inputs[0]))
    losses = _losses(loss, signature)
    _check_numbers(epochs, batch_size, learning_rate)
    quantizes = isinstance(techniques[-1], QuantizeModel)
    if quantizes != (directory is not None):
        raise ValueError(
            "`directory` goes with `QuantizeModel` as the last technique, which makes a file; the others make a model. "
            f"Received: directory={directory!r}, techniques={techniques!r}"
        )
    directory = check_directory(directory) if quantizes else None
    request = {"techniques": [to_json(technique) for technique in techniques], "losses": losses}
    request |= {
        "inputs": [port.name for port in signature.inputs],
        "outputs": [port.name for port in signature.outputs],
    }
    request |= {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed}
    with tempfile.TemporaryDirectory(prefix="tflite_export_") as folder:
        folder = pathlib.Path(folder)
        _run(model, request, {"x": inputs, "y": targets}, folder)
        history = json.loads((folder / "history.json").read_text())
        if not quantizes:
            return Optimized(_with_weights(model, folder / "weights.npz"), None, history)
        file = _examine(folder, signature, inputs)
        publish({file.path.name: file.path}, directory)
    return Optimized(None, dataclasses.replace(file, path=directory / file.path.name), history)


def _check_installed():
    if (
        importlib.util.find_spec("tensorflow_model_optimization") is None
        or importlib.util.find_spec("tf_keras") is None
    ):
        raise ValueError(
            "`optimize` needs tensorflow-model-optimization and tf_keras: install the extra `tfmot` of cgap-keras. "
            "Received: an environment without them"
        )


def _targets(y, signature, count):
    targets = [np.asarray(part) for part in (y if isinstance(y, list | tuple) else [y])]
    if len(targets) != len(signature.outputs) or any(part.shape[:1] != (count,) for part in targets):
        raise ValueError(
            f"`y` must be an array of {count} targets for each of the {len(signature.outputs)} outputs. "
            f"Received: shapes {[part.shape for part in targets]}"
        )
    return targets


def _losses(loss, signature):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if loss is None else loss
    losses = list(loss) if isinstance(loss, list | tuple) else [loss] * len(signature.outputs)
    if len(losses) != len(signature.outputs) or not all(isinstance(part, keras.losses.Loss) for part in losses):
        raise TypeError(f"`loss` must be a `keras.losses.Loss`, or one for each output. Received: loss={loss!r}")
    configs = [(type(part).__name__, part.get_config()) for part in losses]
    return [(name, {key: config[key] for key in config if key != "dtype"}) for name, config in configs]


def _check_numbers(epochs, batch_size, learning_rate):
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"`{name}` must be an integer of at least 1. Received: {name}={value!r}")
    if not isinstance(learning_rate, int | float) or not learning_rate > 0:
        raise ValueError(f"`learning_rate` must be a number above 0. Received: learning_rate={learning_rate!r}")


def _run(model, request, data, folder):
    arrays = {f"{kind}{i}": part for kind, parts in data.items() for i, part in enumerate(parts)}
    np.savez(folder / "data.npz", **arrays)
    write_request(model, {**request, **{kind: len(parts) for kind, parts in data.items()}}, folder)
    finished = run_module("tflite_export.tfmot.child", folder, TF_USE_LEGACY_KERAS="1")
    if finished.returncode:
        raise failure(finished, model, folder)


def _with_weights(model, path):
    """A copy of a model with weights of the child's."""
    copy = cgap_keras.rebuild(model, cgap_keras.Plan({}))
    layers = _unique_layers(copy)
    with np.load(path) as arrays:
        for i, layer in enumerate(layers):
            layer.set_weights([arrays[f"{i}/{j}"] for j in range(len(layer.get_weights()))])
    return copy


def _unique_layers(model):
    """The operations of a model that hold weights, each once, in the order of their first calls."""
    return list({id(call.operation): call.operation for call in trace(model).calls if call.weights}.values())


def _examine(folder, signature, inputs):
    """Verifies and measures the file on the first samples, against the model that was trained for it."""
    with np.load(folder / "answers.npz") as arrays:
        answers = {name: arrays[name] for name in arrays.files}
    count = len(next(iter(answers.values())))
    samples = {port.name: part[:count] for port, part in zip(signature.inputs, inputs, strict=True)}
    return Examiner(samples, answers).examine(folder / "quantized.tflite", _ROW)
