"""Edits every architecture of `keras.applications` and compares outputs: what docs/coverage.md shows.

    python benchmarks/applications.py
    KERAS_BACKEND=jax python benchmarks/applications.py --only=ResNet50,MobileNetV2
    python benchmarks/applications.py --one=ResNet50

Each architecture but ConvNeXt has random weights and statistics in double precision: without training, rounding
errors of single precision grow up to a million times through the depth, and a right edit cannot be told from a wrong
one. Three edits, each on a copy: every exact group reordered at random and grown by a quarter ("split"); every exact
group grown by a quarter with zero outgoing weights and pruned back; every free group halved. Each runs in a process
of its own, so that its peak memory can be told. Writes `benchmarks/results/applications_{backend}.json`, and
`docs/coverage.md` from all of these files.
"""

import concurrent.futures
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import time

from absl import app, flags

ROOT = pathlib.Path(__file__).parents[1]
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
ONLY = flags.DEFINE_list("only", [], "Names of the architectures; all by default.")
JOBS = flags.DEFINE_integer("jobs", 1, "How many architectures at a time; their seconds are longer then.")
ONE = flags.DEFINE_string("one", None, "Run this one here and print its row as JSON.")

NAMES = """
ConvNeXtBase ConvNeXtLarge ConvNeXtSmall ConvNeXtTiny ConvNeXtXLarge DenseNet121 DenseNet169 DenseNet201
EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6
EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2L EfficientNetV2M
EfficientNetV2S InceptionResNetV2 InceptionV3 MobileNet MobileNetV2 MobileNetV3Large MobileNetV3Small NASNetLarge
NASNetMobile ResNet101 ResNet101V2 ResNet152 ResNet152V2 ResNet50 ResNet50V2 VGG16 VGG19 Xception
""".split()


def main(argv):
    if ONE.value:
        print(json.dumps(examine(ONE.value)))
        return
    with concurrent.futures.ThreadPoolExecutor(JOBS.value) as pool:
        rows = list(pool.map(run_apart, ONLY.value or NAMES))
    result = {"command": " ".join(["python", *sys.argv]), "environment": environment(), "rows": rows}
    folder = ROOT / "benchmarks" / "results"
    (folder / f"applications_{BACKEND}.json").write_text(json.dumps(result, indent=1) + "\n")
    files = {path.stem.removeprefix("applications_"): path for path in folder.glob("applications_*.json")}
    results = {backend: json.loads(path.read_text()) for backend, path in files.items()}
    (ROOT / "docs" / "coverage.md").write_text(page(results))


def run_apart(name):
    """One row, from a process of its own."""
    settings = {**os.environ, "JAX_ENABLE_X64": "1"}
    command = [sys.executable, __file__, f"--one={name}"]
    finished = subprocess.run(command, capture_output=True, text=True, env=settings)
    if finished.returncode:
        row = {"name": name, "error": finished.stderr.strip().splitlines()[-1]}
    else:
        row = json.loads(finished.stdout.splitlines()[-1])
    print(json.dumps(row), flush=True)
    return row


def examine(name):
    """Builds one architecture, edits it three times, compares."""
    import keras
    import numpy as np

    import cgap_keras

    keras.utils.set_random_seed(0)
    model, rng = build(name), np.random.default_rng(0)
    randomize(model)
    x = rng.normal(size=(1, *model.inputs[0].shape[1:]))
    expected = keras.ops.convert_to_numpy(model(x, training=False))
    start = time.perf_counter()
    groups = cgap_keras.find_groups(model)
    seconds = {"find_groups_s": round(time.perf_counter() - start, 3)}
    row = {"name": name, "dtype": keras.config.floatx(), "params": model.count_params(), **seconds, **summary(groups)}

    def error(edited):
        actual = keras.ops.convert_to_numpy(edited(x, training=False))
        return float(np.abs(actual - expected).max() / np.abs(expected).max())

    row |= grow(model, [group for group in groups if group.exact and not group.frozen], error, rng)
    total, start = outside_classifier(model), time.perf_counter()
    cgap_keras.apply(model, {group.name: range((group.size + 1) // 2) for group in groups if not group.frozen})
    row["apply_s"] = round(time.perf_counter() - start, 2)
    row["halved_finite"] = bool(np.isfinite(keras.ops.convert_to_numpy(model(x, training=False))).all())
    row["halved_share"] = outside_classifier(model) / total
    row["peak_memory_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    return row


def summary(groups):
    """How many groups there are, and why some are frozen; the output of a model needs no reason."""
    free = [group for group in groups if not group.frozen]
    reasons = {group.frozen for group in groups if group.frozen and "output of the model" not in group.frozen}
    numbers = {"groups": len(groups), "free": len(free), "exact": sum(group.exact for group in free)}
    return {**numbers, "frozen": sorted(reasons)}


def grow(model, groups, error, rng):
    """The errors of reordering with split growth, and of growing by silent units and pruning them again."""
    import cgap_keras

    def quarter(group):
        return rng.integers(0, group.size, max(1, group.size // 4))

    split = {group.name: [*rng.permutation(group.size), *quarter(group)] for group in groups}
    silent = {group.name: [*range(group.size), *quarter(group)] for group in groups}
    start = time.perf_counter()
    edited = cgap_keras.rebuild(model, split)
    row = {"rebuild_s": round(time.perf_counter() - start, 2), "split_error": error(edited)}
    edited = cgap_keras.rebuild(model, silent, new_units="zero")
    cgap_keras.apply(edited, {group.name: range(group.size) for group in groups})
    return {**row, "zero_and_back_error": error(edited)}


def build(name):
    """An architecture with random weights; logits, so that a softmax does not hide an error."""
    import keras

    # Keras on TensorFlow compiles each grouped convolution with XLA, which takes minutes in double precision.
    keras.config.set_floatx("float32" if name.startswith("ConvNeXt") else "float64")
    # Small images: but for VGG, which flattens them, the size of the image is no part of the structure.
    shape = None if name.startswith("VGG") else (96, 96, 3)
    return getattr(keras.applications, name)(weights=None, classifier_activation=None, input_shape=shape)


def randomize(model):
    """Scales, offsets and statistics as training would leave them: not zeros and ones."""
    import keras
    import numpy as np

    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        if len(variable.shape) == 1:
            scale = variable.path.endswith("gamma")
            variable.assign(rng.uniform(0.7, 1.3, variable.shape) if scale else rng.normal(0, 0.1, variable.shape))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.7, 1.3, layer.moving_variance.shape))


def outside_classifier(model):
    """Weights of all layers but the last that has any."""
    last = [layer for layer in model.layers if layer.weights][-1]
    return model.count_params() - last.count_params()


def environment():
    import importlib.metadata

    versions = {name: importlib.metadata.version(name) for name in ("keras", "numpy", BACKEND)}
    return {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count(), **versions}


def page(results):
    """The tables as Markdown: TensorFlow's in full, the errors of the other backends."""
    lines = [
        "# Coverage: `keras.applications`",
        "",
        "Made by `benchmarks/applications.py`, which says what each edit is. Random weights, in double precision but",
        "for ConvNeXt; images of 96 x 96 but for VGG; errors are relative to the largest output. Share: parameters",
        "outside the classifier that are left when every free group is halved; a quarter is left of a kernel whose",
        "input and output are halved, a half of a depthwise one. The one frozen group of an architecture is its",
        "output. Seconds are of two shared cores, two architectures at a time, and include the first call of",
        "everything.",
    ]
    for backend in sorted(results, key=lambda name: (name != "tensorflow", name)):
        rows, versions = results[backend]["rows"], results[backend]["environment"]
        lines += ["", f"## {backend} {versions[backend]}, Keras {versions['keras']}", "", *table(rows)]
        reasons = sorted({(row["name"], reason) for row in rows for reason in row.get("frozen", ())})
        lines += ["", *[f"- {name}: {reason}" for name, reason in reasons]] if reasons else []
    return "\n".join([*lines, ""])


def table(rows):
    columns = "architecture", "parameters", "free", "exact", "split error", "zero-and-back", "share", "find", "apply"
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        if "error" in row:
            yield f"| {row['name']} | {row['error']} | | | | | | | |"
            continue
        yield (
            f"| {row['name']} | {row['params'] / 1e6:.1f} M | {row['free']} of {row['groups']} | {row['exact']} "
            f"| {row['split_error']:.1e} | {row['zero_and_back_error']:.1e} | {row['halved_share']:.3f} "
            f"| {row['find_groups_s']:.2f} s | {row['apply_s']:.1f} s |"
        )


if __name__ == "__main__":
    app.run(main)
