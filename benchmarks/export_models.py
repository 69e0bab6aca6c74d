"""Exports many networks in every quantization: what docs/export.md shows.

    python benchmarks/export_models.py
    python benchmarks/export_models.py --only=resnet20,MobileNetV2
    python benchmarks/export_models.py --table

The networks of the zoo at full and at half width, and fourteen architectures of `keras.applications` on images of
96 x 96. Each is trained for eighty steps to tell ten patterns of smooth noise apart, since networks with random weights
say little about an exporter: through their depth they make much of small differences, roundings too, and float16 files
of them were already out of bound (EfficientNetV2B0, InceptionV3). Each is verified on 32 images that it was not trained
on, within the bounds of the exporter's own table; what it refuses stands in the row as it says it. A network whose row
is there is not exported again, and two processes may share the work with `--only`. Writes
`benchmarks/results/export_models.json`.
"""

import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags

ROOT = pathlib.Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "export_models.json"
APPLICATIONS = """
DenseNet121 DenseNet169 EfficientNetB0 EfficientNetB1 EfficientNetV2B0 InceptionV3 MobileNet MobileNetV2
MobileNetV3Small NASNetMobile ResNet50 ResNet50V2 ResNet101 Xception
""".split()
HALF = ":0.5"
STEPS, BATCH_SIZE, VERIFIED = 80, 16, 32

ONLY = flags.DEFINE_list("only", [], f"Names of the networks; {HALF} behind one of the zoo's is its half width.")
TABLE = flags.DEFINE_bool("table", False, "Print the table of what is there, and export nothing.")
ONE = flags.DEFINE_string("one", None, "Export this one here and print its row as JSON.")


def main(argv):
    if ONE.value:
        print(json.dumps(examine(ONE.value)))
        return
    if TABLE.value:
        print("\n".join(table(kept())))
        return
    from cgap_keras import zoo

    for name in ONLY.value or [*(name + end for name in zoo.names() for end in ("", HALF)), *APPLICATIONS]:
        if name not in kept():
            row = run_apart(name)
            result = {"command": "python benchmarks/export_models.py", "environment": environment()}
            RESULT.write_text(json.dumps(result | {"rows": kept() | {name: row}}, indent=1) + "\n")


def kept():
    """The rows that are there by now."""
    return json.loads(RESULT.read_text())["rows"] if RESULT.exists() else {}


def run_apart(name):
    """One row, from a process of its own: what a large network leaves behind goes with it."""
    finished = subprocess.run([sys.executable, __file__, f"--one={name}"], capture_output=True, text=True, cwd=ROOT)
    if finished.returncode:
        row = {"error": finished.stderr.strip().splitlines()[-1]}
    else:
        row = json.loads(finished.stdout.splitlines()[-1])
    print(name, json.dumps(row), flush=True)
    return row


def examine(name):
    """Builds and trains a network, and exports it in every quantization."""
    import keras

    import cgap_keras
    from tflite_export import QUANTIZATIONS

    keras.utils.set_random_seed(0)
    model = build(name)
    images, classes = patterns(model.inputs[0].shape[1:], STEPS * BATCH_SIZE + VERIFIED)
    quieten(model, images[VERIFIED : VERIFIED + 320])
    train(model, images[VERIFIED:], classes[VERIFIED:])
    samples = images[:VERIFIED], classes[:VERIFIED]
    cost = cgap_keras.cost(model)
    files = export_all(model, tuple(QUANTIZATIONS), *samples)
    return {"params": cost.params, "macs": cost.macs, "accuracy": accuracy(model, *samples), "files": files}


def build(name):
    """A network with random weights, that answers with logits."""
    import keras

    from cgap_keras import zoo

    if name in APPLICATIONS:
        application = getattr(keras.applications, name)
        return application(weights=None, classes=10, classifier_activation=None, input_shape=(96, 96, 3))
    name, _, width = name.partition(":")
    return zoo.get(name)(width=float(width or 1))


def patterns(shape, count):
    """Images of unit variance, each one of ten patterns and half as much noise, and the numbers of their patterns."""
    import numpy as np

    rng = np.random.default_rng(0)
    classes = np.arange(count) % 10
    images = _smooth(rng, 10, shape)[classes] + 0.5 * _smooth(rng, count, shape)
    return ((images - images.mean()) / images.std()).astype("float32"), classes


def _smooth(rng, count, shape):
    """Noise whose neighbouring pixels are alike, as those of photographs are."""
    import keras

    height, width, channels = shape
    coarse = rng.normal(size=(count, max(2, height // 8), max(2, width // 8), channels)).astype("float32")
    return keras.ops.convert_to_numpy(keras.ops.image.resize(coarse, (height, width), interpolation="bicubic"))


def quieten(model, images):
    """Has no normalisation make a faint channel loud.

    Its epsilon becomes half of the mean variance of its channels. In long trainings the decay of the weights sees to
    that; without, channels that hardly move carry nothing but roundings, which the normalisation makes as large as the
    signals of the others.
    """
    import keras
    import numpy as np

    import cgap_keras

    cgap_keras.reestimate_statistics(model, images, batch_size=80)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = max(layer.epsilon, 0.5 * float(np.mean(layer.moving_variance)))


def train(model, images, classes):
    """One pass in order, the rate falling to nothing; then the statistics of the weights as they have become."""
    import keras

    import cgap_keras

    rate = keras.optimizers.schedules.CosineDecay(1e-3, STEPS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(images, classes, batch_size=BATCH_SIZE, shuffle=False, verbose=0)
    cgap_keras.reestimate_statistics(model, images[:320], batch_size=80)


def accuracy(model, images, classes):
    """The share of right answers."""
    return float((model.predict(images, verbose=0).argmax(-1) == classes).mean())


def export_all(model, quantizations, images, classes):
    """What came of each quantization: figures, or why it was refused."""
    from tflite_export import export

    with tempfile.TemporaryDirectory() as folder:
        try:
            result = export(model, folder, quantizations, representative_data=images, labels=classes)
        except (ValueError, RuntimeError) as error:
            if len(quantizations) == 1:
                return {quantizations[0]: {"error": str(error)}}
            # One that is refused keeps all from being written.
            halves = quantizations[: len(quantizations) // 2], quantizations[len(quantizations) // 2 :]
            return {name: file for half in halves for name, file in export_all(model, half, images, classes).items()}
    return {name: _figures(file) for name, file in result.items()}


def _figures(file):
    return {
        "bytes": file.bytes,
        "max_error": max(output.max_abs / output.span for output in file.outputs),
        "mean_error": max(output.mean_abs / output.span for output in file.outputs),
        "agreement": file.argmax_agreement,
        "accuracy": file.accuracy,
        "float_weights": len(file.float_weights),
        "operators": sorted(set(file.operators)),
    }


def table(rows):
    """Lines of Markdown: kilobytes, and the mean error in percent of the output's range."""
    quantizations = list(next(iter(rows.values()))["files"])
    yield f"| network | MMACs | {' | '.join(quantizations)} |"
    yield f"| --- | {' | '.join('---' for _ in quantizations)} | --- |"
    for name, row in rows.items():
        cells = [_cell(row["files"][quantization]) for quantization in quantizations]
        yield f"| {name.replace(HALF, ', half as wide')} | {row['macs'] / 1e6:.1f} | {' | '.join(cells)} |"


def _cell(file):
    if "error" in file:
        return "out of bound" if "out of bound" in file["error"] else "refused"
    return f"{file['bytes'] / 1000:,.0f} kB, {100 * file['mean_error']:.2f} %"


def environment():
    names = ("keras", "tensorflow", "ai-edge-litert", "litert-quantizer")
    versions = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count(), **versions}


if __name__ == "__main__":
    app.run(main)
