"""Exports many networks in every quantization: what docs/export.md shows.

    python benchmarks/export_models.py
    python benchmarks/export_models.py --only=resnet20,MobileNetV2
    python benchmarks/export_models.py --table

The networks of the zoo at full and at half width, and twelve architectures of `keras.applications` on images of
96 x 96. Their weights are random and the statistics of their normalisations those of the samples, so that signals
neither fade nor grow through the depth. Each is verified on 32 images of smooth noise, within the bounds of the
exporter's own table; what it refuses stands in the row as it says it. A network whose row is there is not exported
again. Writes `benchmarks/results/export_models.json`.
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
ConvNeXtTiny DenseNet121 EfficientNetB0 EfficientNetV2B0 InceptionV3 MobileNet MobileNetV2 MobileNetV3Small NASNetMobile
ResNet50 ResNet50V2 Xception
""".split()
HALF = ":0.5"

ONLY = flags.DEFINE_list("only", [], f"Names of the networks; {HALF} behind one of the zoo's is its half width.")
TABLE = flags.DEFINE_bool("table", False, "Print the table of what is there, and export nothing.")
ONE = flags.DEFINE_string("one", None, "Export this one here and print its row as JSON.")


def main(argv):
    if ONE.value:
        print(json.dumps(examine(ONE.value)))
        return
    if TABLE.value:
        print("\n".join(table(json.loads(RESULT.read_text())["rows"])))
        return
    from cgap_keras import zoo

    result = json.loads(RESULT.read_text()) if RESULT.exists() else {"rows": {}}
    names = ONLY.value or [*(name + end for name in zoo.names() for end in ("", HALF)), *APPLICATIONS]
    for name in names:
        if name not in result["rows"]:
            result = {"command": " ".join(["python", *sys.argv]), "environment": environment(), "rows": result["rows"]}
            result["rows"][name] = run_apart(name)
            RESULT.write_text(json.dumps(result, indent=1) + "\n")


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
    """Builds a network and exports it in every quantization."""
    import keras

    import cgap_keras
    from tflite_export import QUANTIZATIONS

    keras.utils.set_random_seed(0)
    model = build(name)
    x = smooth_noise(model.inputs[0].shape[1:])
    cgap_keras.reestimate_statistics(model, x, batch_size=8)
    cost = cgap_keras.cost(model)
    files = {quantization: export_one(model, quantization, x) for quantization in QUANTIZATIONS}
    return {"params": cost.params, "macs": cost.macs, "files": files}


def build(name):
    """A network with random weights, that answers with logits."""
    import keras

    from cgap_keras import zoo

    if name in APPLICATIONS:
        return getattr(keras.applications, name)(weights=None, classifier_activation=None, input_shape=(96, 96, 3))
    name, _, width = name.partition(":")
    return zoo.get(name)(width=float(width or 1))


def smooth_noise(shape, count=32):
    """Images of unit variance whose neighbouring pixels are alike, as those of photographs are."""
    import keras
    import numpy as np

    height, width, channels = shape
    coarse = np.random.default_rng(0).normal(size=(count, max(2, height // 8), max(2, width // 8), channels))
    images = keras.ops.convert_to_numpy(keras.ops.image.resize(coarse, (height, width), interpolation="bicubic"))
    return ((images - images.mean()) / images.std()).astype("float32")


def export_one(model, quantization, x):
    """What came of one quantization: figures, or why it was refused."""
    from tflite_export import export

    with tempfile.TemporaryDirectory() as folder:
        try:
            file = export(model, folder, quantization, representative_data=x)[quantization]
        except (ValueError, RuntimeError) as error:
            return {"error": str(error)}
    return {
        "bytes": file.bytes,
        "max_error": max(output.max_abs / output.span for output in file.outputs),
        "mean_error": max(output.mean_abs / output.span for output in file.outputs),
        "agreement": file.argmax_agreement,
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
