"""Edits every architecture of `keras.applications` and compares outputs: what docs/coverage.md shows.

    python benchmarks/applications.py
    python benchmarks/applications.py --only=ResNet50,MobileNetV2

Each architecture has random weights and statistics. Three edits, each on a copy: every exact group reordered at random
and grown by a quarter ("split"); every free group grown by a quarter with zero outgoing weights and pruned back; every
free group halved. Each runs in a process of its own, so that its peak memory can be told. Writes
`benchmarks/results/applications.json` and `docs/coverage.md`.
"""

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
ONLY = flags.DEFINE_list("only", [], "Names of the architectures; all by default.")
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
    rows = [run_apart(name) for name in ONLY.value or NAMES]
    if not ONLY.value:
        result = {"command": "python benchmarks/applications.py", "environment": environment(), "rows": rows}
        (ROOT / "benchmarks" / "results" / "applications.json").write_text(json.dumps(result, indent=1) + "\n")
        (ROOT / "docs" / "coverage.md").write_text(page(rows))


def run_apart(name):
    """One row, from a process of its own."""
    finished = subprocess.run([sys.executable, __file__, f"--one={name}"], capture_output=True, text=True)
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
    model = build(name)
    randomize(model)
    rng = np.random.default_rng(0)
    # Two architectures leave the size of the image open; 224 is what they were published with.
    x = rng.normal(size=(1, *(size or 224 for size in model.inputs[0].shape[1:]))).astype("float32")
    expected = keras.ops.convert_to_numpy(model(x, training=False))
    start = time.perf_counter()
    groups = cgap_keras.find_groups(model)
    row = {"name": name, "params": model.count_params(), "find_groups_s": round(time.perf_counter() - start, 3)}
    free = [group for group in groups if not group.frozen]
    row |= {"groups": len(groups), "free": len(free), "exact": sum(group.exact for group in free)}
    row["frozen"] = sorted(
        {group.frozen for group in groups if group.frozen and "output of the model" not in group.frozen}
    )

    def error(edited):
        return float(
            np.abs(keras.ops.convert_to_numpy(edited(x, training=False)) - expected).max() / np.abs(expected).max()
        )

    def quarter(group):
        return rng.integers(0, group.size, max(1, group.size // 4))

    exact = [group for group in free if group.exact]
    split = {group.name: [*rng.permutation(group.size), *quarter(group)] for group in exact}
    zero = {group.name: [*range(group.size), *quarter(group)] for group in exact}
    back = {group.name: range(group.size) for group in exact}
    start = time.perf_counter()
    edited = cgap_keras.rebuild(model, split)
    row["rebuild_s"] = round(time.perf_counter() - start, 2)
    row["split_error"] = error(edited)
    edited = cgap_keras.rebuild(model, zero, new_units="zero")
    cgap_keras.apply(edited, {name: list(index) for name, index in back.items()})
    row["zero_and_back_error"] = error(edited)
    del edited
    total = outside_classifier(model)
    start = time.perf_counter()
    cgap_keras.apply(model, {group.name: list(range((group.size + 1) // 2)) for group in free})
    row["apply_s"] = round(time.perf_counter() - start, 2)
    row["halved_finite"] = bool(np.isfinite(keras.ops.convert_to_numpy(model(x, training=False))).all())
    row["halved_share"] = outside_classifier(model) / total
    row["peak_memory_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    return row


def build(name):
    """An architecture with random weights; logits, so that a softmax does not hide an error."""
    import keras

    return getattr(keras.applications, name)(weights=None, classifier_activation=None)


def randomize(model):
    """Statistics, scales and offsets as training would leave them: not zeros and ones."""
    import numpy as np

    rng = np.random.default_rng(1)
    for variable in model.weights:
        if len(variable.shape) == 1:
            positive = "variance" in variable.path or "gamma" in variable.path
            value = rng.uniform(0.7, 1.3, variable.shape) if positive else rng.normal(0, 0.1, variable.shape)
            variable.assign(value)


def outside_classifier(model):
    """Weights of all layers but the last that has any."""
    last = [layer for layer in model.layers if layer.weights][-1]
    return model.count_params() - last.count_params()


def environment():
    import importlib.metadata

    versions = {name: importlib.metadata.version(name) for name in ("keras", "numpy", "tensorflow")}
    return {"python": platform.python_version(), "backend": os.environ.get("KERAS_BACKEND", "tensorflow"), **versions}


def page(rows):
    """The table as Markdown."""
    lines = [
        "# Coverage: `keras.applications`",
        "",
        "Made by `python benchmarks/applications.py`, which says what each edit is. Errors are relative to the "
        "largest output.",
        "Share: parameters outside the classifier that are left when every free group is halved.",
        "",
        "| architecture | parameters | free groups | exact | split error | zero-and-back error | share | find | edit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['name']} | {row['error']} | | | | | | | |")
            continue
        lines.append(
            f"| {row['name']} | {row['params'] / 1e6:.1f} M | {row['free']} of {row['groups']} | {row['exact']} "
            f"| {row['split_error']:.1e} | {row['zero_and_back_error']:.1e} | {row['halved_share']:.3f} "
            f"| {row['find_groups_s']:.2f} s | {row['apply_s']:.1f} s |"
        )
    reasons = sorted({(row["name"], reason) for row in rows for reason in row.get("frozen", ())})
    lines += ["", *[f"- {name}: {reason}" for name, reason in reasons], ""] if reasons else [""]
    return "\n".join(lines)


if __name__ == "__main__":
    app.run(main)
