"""Latency of exported files: against the width of a layer, and against the multiply-accumulates of a network.

    python benchmarks/latency.py

On an idle machine, batch size 1, one thread, XNNPACK on. *Widths*: four convolutions of 3 x 3 on 16 x 16 images, all
with the same number of filters, 1 to 64. *Networks*: zoo networks at full width beside compact structures, narrow ones
and what `CGaP` came to in kept rows of experiments; weights are random, which latency does not depend on. Each figure
is the median of several measurements in turns, so that a slower spell of the machine meets all files. Writes
`benchmarks/results/latency.json`.
"""

import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import sys
import tempfile

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
QUANTIZATIONS = ("float32", "int8")
WIDTHS = (*range(1, 34), 36, 39, 40, 41, 44, 47, 48, 49, 52, 55, 56, 57, 60, 63, 64)
TURNS = flags.DEFINE_integer("turns", 5, "How often each file is timed.", 1)
ONLY = flags.DEFINE_enum("only", None, ["widths", "networks"], "Measure this part alone.")


def main(argv):
    path = RESULTS / "latency.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    result |= {"command": " ".join(["python", *sys.argv]), "environment": environment()}
    parts = {"widths": {str(width): plain(width) for width in WIDTHS}, "networks": networks()}
    parts = {name: models for name, models in parts.items() if ONLY.value in (None, name)}
    with tempfile.TemporaryDirectory() as folder:
        exported = {name: export_all(models, pathlib.Path(folder, name)) for name, models in parts.items()}
        print("All exported; timing begins.", flush=True)
        for name, rows_and_files in exported.items():
            result[name] = measure(*rows_and_files)
    path.write_text(json.dumps(result, indent=1) + "\n")


def export_all(models, folder):
    """Exports models; a row each with its cost, and for each row and quantization what is to be timed."""
    import numpy as np

    import cgap_keras
    from tflite_export import Interpreter, export
    from tflite_export.signature import read_signature

    rows, files = {}, {}
    for name, model in models.items():
        (port,) = read_signature(model).inputs
        x = np.random.default_rng(0).normal(size=(16, *port.shape)).astype("float32")
        result = export(model, folder / name, QUANTIZATIONS, x)
        cost = cgap_keras.cost(model)
        rows[name] = {"params": cost.params, "macs": cost.macs, **{f"{q}_bytes": result[q].bytes for q in result}}
        files |= {(name, q): (Interpreter(result[q].path), {port.name: x[:1]}) for q in result}
        print(name, rows[name], flush=True)
    return rows, files


def measure(rows, files):
    """Times all files in turns; the rows with the medians in milliseconds."""
    from tflite_export.measure import measure_latency

    times = {key: [] for key in files}
    for _ in range(TURNS.value):
        for key, (interpreter, sample) in files.items():
            times[key].append(measure_latency(interpreter, sample).median_ms)
    for (name, quantization), values in times.items():
        rows[name][f"{quantization}_ms"] = statistics.median(values)
    return rows


def plain(width):
    """Four convolutions in a row, each with `width` filters."""
    import keras

    image = x = keras.Input((16, 16, width), name="image")
    for _ in range(4):
        x = keras.layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    return keras.Model(image, x)


def networks():
    """Dense networks and compact ones, by name."""
    from cgap_keras import zoo

    models = {}
    for name, width in (("resnet20", 0.59), ("vgg16", 0.5), ("resnet56", 0.69)):
        models[name] = zoo.get(name)()
        models[f"{name}, width {width}"] = zoo.get(name)(width=width)
    for path in sorted((RESULTS / "cifar10_resnet20_choices").glob("cgap-validation-*.json")):
        row = json.loads(path.read_text())
        models[f"resnet20, {path.stem}"] = resized(zoo.resnet20(), row["widths"])
    models["resnet20, multiples of 8"] = resized(models["resnet20"], lambda units: max(8, units // 16 * 8))
    models["vgg16, half"] = resized(models["vgg16"], lambda units: units // 2)
    return models


def resized(model, widths):
    """A network with other widths: by name of the group, or as a function of the width that was."""
    import cgap_keras

    groups = [group for group in cgap_keras.find_groups(model) if not group.frozen]
    wanted = {group.name: widths(group.size) if callable(widths) else widths[group.name] for group in groups}
    plan = {group.name: range(wanted[group.name]) for group in groups if wanted[group.name] != group.size}
    return cgap_keras.rebuild(model, plan)


def environment():
    processor = next(
        line.partition(":")[2].strip()
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    versions = {name: importlib.metadata.version(name) for name in ("keras", "tensorflow", "ai-edge-litert")}
    return {"processor": processor, "python": platform.python_version(), "cores": os.cpu_count(), **versions}


if __name__ == "__main__":
    app.run(main)
