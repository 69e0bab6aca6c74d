"""What quantization, clustering and sparsity cost trained networks: accuracy, bytes and latency of their files.

    python benchmarks/trained_files.py --runs=runs/mnist_lenet5/dense-0,runs/cifar10_resnet20_choices/dense-0

Each run is a folder that `examples/train.py` left. Its network becomes a file of float32, one of int8 after training,
and int8 files behind the techniques of tensorflow-model-optimization: an epoch of each technique on ten thousand
training images, augmented as in the network's training. Accuracy is that of the file on all test images, which took no
part in any of it. A file is compressed as a download or an update over the air would be, by gzip.
Writes `benchmarks/results/trained_files.json`; a file that has its row there is not made again.
"""

import gzip
import json
import os
import pathlib
import sys
import tempfile

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags

ROOT = pathlib.Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "trained_files.json"
IMAGES, CALIBRATION = 10_000, 500
# On validation images of the compact ResNet-20 quantization-aware training with 1e-4 lost 0.7 points, with 1e-5 none.
# Where weights have to make up for zeros or for shared values it is the library's default.
RATES = {1: 1e-5, 2: 1e-4, 3: 1e-4}

RUNS = flags.DEFINE_list("runs", None, "Folders with a row.json and a network.keras.", required=True)


def main(argv):
    sys.path.insert(0, str(ROOT / "examples"))
    from machine import environment

    result = json.loads(RESULT.read_text()) if RESULT.exists() else {"rows": {}}
    for folder in map(pathlib.Path, RUNS.value):
        name = f"{folder.parent.name}/{folder.name}"
        row = result["rows"].setdefault(name, {"files": {}})
        missing = [file for file in FILES if file not in row["files"]]
        if not missing:
            continue
        model, data, facts = load(folder)
        row |= facts
        for file in missing:
            row["files"][file] = figures = measure(model, data, FILES[file])
            print(name, file, figures, flush=True)
            result |= {"command": " ".join(["python", *sys.argv]), "environment": environment()}
            RESULT.write_text(json.dumps(result, indent=1) + "\n")


def load(folder):
    """A run's network, its data as the network wants them, and what is known of both."""
    import datasets
    import keras

    import cgap_keras

    row = json.loads((folder / "row.json").read_text())
    source = ROOT / "runs" / "data" / f"{row['dataset']}.npz"
    data = datasets.read(str(source) if source.exists() else row["dataset"])
    model = keras.models.load_model(folder / "network.keras", compile=False)
    arrays = {
        "calibration": normalised(data.x_train[:CALIBRATION], row),
        "x": normalised(augmented(data.x_train[:IMAGES], row["augmentation"]), row),
        "y": data.y_train[:IMAGES],
        "x_test": normalised(data.x_test, row),
        "y_test": data.y_test,
    }
    cost = cgap_keras.cost(model)
    answers = model.predict(arrays["x_test"], batch_size=500, verbose=0).argmax(-1)
    accuracy = float((answers == arrays["y_test"]).mean())
    settings = {key: row[key] for key in ("model", "method", "dataset", "epochs")}
    return model, arrays, settings | {"params": cost.params, "macs": cost.macs, "keras_accuracy": accuracy}


def augmented(images, kind):
    """Images as a training sees them, each once."""
    import keras
    import numpy as np
    from augmentation import AUGMENTATIONS

    layers = AUGMENTATIONS[kind](0)
    if not layers:
        return images
    augment = keras.Sequential([keras.Input(images.shape[1:], dtype=images.dtype.name), *layers])
    batches = (images[i : i + 500] for i in range(0, len(images), 500))
    return np.concatenate([keras.ops.convert_to_numpy(augment(batch, training=True)) for batch in batches])


def normalised(images, row):
    """Images as the network of a run wants them."""
    return ((images - row["mean"]) / row["deviation"]).astype("float32")


def after_training(quantization):
    """A function that makes the file of a quantization, without any training."""

    def make(model, data, folder):
        from tflite_export import export

        # How far a file is off is what is measured here.
        return export(model, folder, quantization, data["calibration"])[quantization].path

    return make


def trained(*techniques):
    """A function that trains a model on with techniques of `tflite_export.tfmot`, and makes the int8 file."""

    def make(model, data, folder):
        from tflite_export import tfmot

        made = [technique(tfmot) for technique in (*techniques, lambda tfmot: tfmot.QuantizeModel())]
        rate = RATES[len(made)]
        return tfmot.optimize(model, data["x"], data["y"], made, folder, learning_rate=rate).file.path

    return make


def clustered(tfmot):
    """Sixteen values a layer."""
    return tfmot.ClusterWeights(16)


def sparse(tfmot):
    """Every second weight zero."""
    # A choice of the zeros every tenth step: the default of a hundred leaves few to a short training.
    return tfmot.PruneLowMagnitude(tfmot.PolynomialDecay(final_sparsity=0.5, frequency=10))


def very_sparse(tfmot):
    """Four weights of five zero."""
    return tfmot.PruneLowMagnitude(tfmot.PolynomialDecay(final_sparsity=0.8, frequency=10))


FILES = {
    "float32": after_training("float32"),
    "int8 after training": after_training("int8"),
    "int8 in training": trained(),
    "clustered, int8": trained(clustered),
    "half sparse, clustered, int8": trained(sparse, clustered),
    "four fifths sparse, clustered, int8": trained(very_sparse, clustered),
}


def measure(model, data, make):
    """The figures of one file, or why there is none."""
    from tflite_export import Interpreter
    from tflite_export.measure import measure_latency
    from tflite_export.signature import read_signature

    (port,) = read_signature(model).inputs
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = make(model, data, pathlib.Path(folder, "files"))
        except (ValueError, RuntimeError) as error:
            return {"error": str(error)}
        content, interpreter = path.read_bytes(), Interpreter(path)
        (scores,) = interpreter.run({port.name: data["x_test"]}).values()
        return {
            "accuracy": float((scores.argmax(-1) == data["y_test"]).mean()),
            "bytes": len(content),
            "gzip_bytes": len(gzip.compress(content, mtime=0)),
            "latency_ms": measure_latency(interpreter, {port.name: data["x_test"][:1]}).median_ms,
        }


if __name__ == "__main__":
    app.run(main)
