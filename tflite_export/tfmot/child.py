"""The child process: a tf_keras copy of a model goes through the techniques of tensorflow-model-optimization.

Run as `python -m tflite_export.tfmot.child FOLDER`, with `TF_USE_LEGACY_KERAS=1`. `FOLDER` holds `model.keras`,
`data.npz` and `request.json`. It leaves `weights.npz` (`"3/1"`: the second weight of the fourth layer that is called)
or, where the last technique quantizes, `quantized.tflite` and `answers.npz`, what the trained copy answers to the
first samples; and `history.json`, the losses of the epochs of each technique.
"""

import functools
import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras import quant_ops

from tflite_export.convert import find_class, report
from tflite_export.tfmot.twin import check_equal, copy_model

SAMPLES = 64


def main(folder):
    """Does what `request.json` in the folder asks."""
    folder = pathlib.Path(folder)
    sys.excepthook = lambda kind, error, trace: report(folder, kind, error, trace)
    request = json.loads((folder / "request.json").read_text())
    tf_keras.utils.set_random_seed(request["seed"])
    classes = {name: find_class(module, name) for module, name in request["classes"]}
    model = keras.models.load_model(folder / "model.keras", custom_objects=classes, compile=False, safe_mode=False)
    with np.load(folder / "data.npz") as arrays:
        x, y = ([arrays[f"{kind}{i}"] for i in range(request[kind])] for kind in "xy")
    (folder / "stage").write_text("copying to tf_keras")
    twin, names = copy_model(model)
    check_equal(model, twin, [part[:SAMPLES] for part in x])
    training = Training(x, y, request)
    done, history = [], {}
    for technique in request["techniques"]:
        (folder / "stage").write_text(technique["class"])
        twin, history[technique["class"]] = TECHNIQUES[technique["class"]](twin, training, technique, done)
        done.append(technique["class"])
    (folder / "history.json").write_text(json.dumps(history))
    if done[-1] == "QuantizeModel":
        _write_file(twin, request, [part[:SAMPLES] for part in x], folder)
    else:
        layers = [twin.get_layer(name) for name in names]
        weights = {f"{i}/{j}": w for i, layer in enumerate(layers) for j, w in enumerate(layer.get_weights())}
        np.savez(folder / "weights.npz", **weights)


class Training:
    """Trains a model as the request says.

    Attributes:
        steps: The steps of one call.
    """

    def __init__(self, x, y, request):
        self._x, self._y, self._request = x, y, request
        self.steps = request["epochs"] * -(-len(x[0]) // request["batch_size"])

    def __call__(self, model, callbacks=()):
        """Trains, and returns the mean losses of the epochs."""
        request = self._request
        losses = [tf_keras.losses.get({"class_name": name, "config": config}) for name, config in request["losses"]]
        model.compile(tf_keras.optimizers.Adam(request["learning_rate"]), losses)
        history = model.fit(
            self._x, self._y, request["batch_size"], request["epochs"], verbose=0, callbacks=list(callbacks)
        )
        return history.history["loss"]

    def set_ranges(self, model):
        """Lets the ranges of activations begin at what the samples show.

        They begin at -6 to 6 otherwise, of which a moving average with a decay of 0.999 keeps a half after 700 steps: a
        ResNet-20 lost three points of accuracy by that alone. All other weights stay as they are.
        """
        weights = [(w, w.numpy()) for w in model.weights if not w.name.split(":")[0].endswith(("_min", "_max"))]
        original = quant_ops.MovingAvgQuantize
        # Of where a range began, 0.9 ** 50 is half a percent.
        quant_ops.MovingAvgQuantize = functools.partial(_with_decay, original, 0.9)
        try:
            size = self._request["batch_size"]
            for step in range(50):
                places = np.arange(step * size, (step + 1) * size) % len(self._x[0])
                model([part[places] for part in self._x], training=True)
        finally:
            quant_ops.MovingAvgQuantize = original
        for weight, value in weights:
            weight.assign(value)


def _with_decay(function, decay, *args, **options):
    """A function of tensorflow-model-optimization with another decay than the one that it is called with."""
    return function(*args, **{**options, "ema_decay": decay})


def prune_low_magnitude(model, training, technique, done):
    """Trains with ever more weights at zero."""
    api = tfmot.sparsity.keras
    schedule = dict(technique["pruning_schedule"])
    kind = schedule.pop("class")
    if schedule.get("end_step", 0) is None:
        schedule["end_step"] = max(schedule["begin_step"] + 1, 3 * training.steps // 4)
    arguments = {"pruning_schedule": getattr(api, kind)(**schedule)}
    if technique["sparsity_m_by_n"]:
        arguments["sparsity_m_by_n"] = tuple(technique["sparsity_m_by_n"])
    wrapped = api.prune_low_magnitude(model, **arguments)
    losses = training(wrapped, [api.UpdatePruningStep()])
    return api.strip_pruning(wrapped), losses


def cluster_weights(model, training, technique, done):
    """Trains with weights that share a few values."""
    # Not part of the public interface, which has none that keeps zeros.
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    api = tfmot.clustering.keras
    wrapped = cluster.cluster_weights(
        model,
        number_of_clusters=technique["number_of_clusters"],
        cluster_centroids_init=api.CentroidInitialization[technique["cluster_centroids_init"]],
        preserve_sparsity="PruneLowMagnitude" in done,
    )
    losses = training(wrapped)
    return api.strip_clustering(wrapped), losses


def quantize_model(model, training, technique, done):
    """Trains with weights and activations rounded to int8."""
    api = tfmot.quantization.keras
    quantized = api.quantize_apply(api.quantize_annotate_model(model), _scheme(done))
    training.set_ranges(quantized)
    return quantized, training(quantized)


def _scheme(done):
    """The scheme that keeps what the techniques before have made."""
    api = tfmot.experimental.combine
    if "ClusterWeights" in done:
        return api.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity="PruneLowMagnitude" in done)
    if "PruneLowMagnitude" in done:
        return api.Default8BitPrunePreserveQuantizeScheme()
    return tfmot.quantization.keras.default_8bit.Default8BitQuantizeScheme()


def _write_file(model, request, samples, folder):
    """Writes the file, with the names of the Keras 3 model, and what the model itself answers to some samples."""
    specs = [
        tf.TensorSpec((1, *x.shape[1:]), x.dtype, name=name) for name, x in zip(request["inputs"], samples, strict=True)
    ]

    @tf.function(input_signature=specs)
    def serve(*tensors):
        outputs = tf.nest.flatten(model(list(tensors), training=False))
        return dict(zip(request["outputs"], outputs, strict=True))

    tf.saved_model.save(model, str(folder / "saved_model"), signatures=serve.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved_model"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "quantized.tflite").write_bytes(converter.convert())
    answers = tf.nest.flatten(model.predict(samples, verbose=0))
    np.savez(folder / "answers.npz", **dict(zip(request["outputs"], answers, strict=True)))


TECHNIQUES = {
    "PruneLowMagnitude": prune_low_magnitude,
    "ClusterWeights": cluster_weights,
    "QuantizeModel": quantize_model,
}

if __name__ == "__main__":
    main(sys.argv[1])
