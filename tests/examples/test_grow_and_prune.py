"""The example as a person runs it: from the shell."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import cgap_keras
from examples import datasets

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "grow_and_prune.py"


def run_script(*flags, **environment):
    command = [sys.executable, str(SCRIPT), *flags]
    variables = {**os.environ, "KERAS_BACKEND": "tensorflow", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=variables)


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    """Four epochs on part of the digits: what the script printed, and the folder that it wrote."""
    out = tmp_path_factory.mktemp("run") / "out"
    finished = run_script("--epochs=4", "--limit=300", "--seed=3", f"--out={out}")
    assert finished.returncode == 0, finished.stderr
    return finished.stdout, out


def test_everything_is_written(short_run):
    _, out = short_run
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    files = {
        f"{side}/{name}" for side in ("dense", "compact") for name in ("float32.tflite", "int8.tflite", "export.json")
    }
    assert written == files | {"summary.json", "compact.keras", "widths.png", "report.html"}


def test_the_summary_is_that_of_the_saved_model(short_run):
    _, out = short_run
    summary = json.loads((out / "summary.json").read_text())
    model, data = keras.models.load_model(out / "compact.keras"), datasets.load("digits", limit=300)
    correct = model.predict(data.x_test, verbose=0).argmax(-1) == data.y_test
    cost = cgap_keras.cost(model)
    compact = summary["compact"]
    assert (compact["params"], compact["macs"]) == (cost.params, cost.macs)
    assert compact["accuracy"] == pytest.approx(np.mean(correct))
    assert {name: file["bytes"] for name, file in compact["files"].items()} == {
        name: (out / file["path"]).stat().st_size for name, file in compact["files"].items()
    }


def test_the_network_grew_to_its_capacity_and_was_pruned_to_its_target(short_run):
    _, out = short_run
    summary = json.loads((out / "summary.json").read_text())
    dense, edits = summary["dense"]["params"], summary["edits"]
    assert {"grow", "prune"} == {edit["kind"] for edit in edits}
    assert max(edit["params_after"] for edit in edits) <= 0.4 * dense
    assert summary["compact"]["params"] == edits[-1]["params_after"] <= 0.195 * dense


def test_a_line_tells_each_edit_and_a_table_ends_the_run(short_run):
    printed, out = short_run
    edits = json.loads((out / "summary.json").read_text())["edits"]
    lines = [line for line in printed.splitlines() if " · grow · " in line or " · prune · " in line]
    assert len(lines) == len(edits)
    assert all(
        f"{edit['params_before']:,} -> {edit['params_after']:,}" in line
        for edit, line in zip(edits, lines, strict=True)
    )
    assert printed.index("FPGA estimate") > printed.index("dense / compact") > printed.index(lines[-1])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--epoch=4"], "epoch"),
        (["--epochs=3"], "epochs"),
        (["digits"], "every argument is a flag"),
        (["--target=0.5", "--capacity=0.4"], "--target must be at most --capacity"),
        (["--out=/proc/nothing"], "cannot write to the output folder"),
        (["--dataset=mnist", "--data_dir=/no/such/folder"], "--dataset: `data_dir`"),
        (["--model=resnet21"], "--model: `name` must be one of"),
    ],
)
def test_a_wrong_flag_is_one_sentence_and_status_1(flags, words, tmp_path):
    out = tmp_path / "out"
    finished = run_script(*([] if any(flag.startswith("--out") for flag in flags) else [f"--out={out}"]), *flags)
    assert finished.returncode == 1
    assert words in finished.stderr and "Traceback" not in finished.stderr
    assert "Epoch" not in finished.stdout and not list(out.glob("*"))


def test_help_explains_every_flag():
    finished = run_script("--help")
    source = SCRIPT.read_text()
    names = [
        line.split('"')[1] for line in source.replace("(\n    ", "(").splitlines() if line.startswith("flags.DEFINE")
    ]
    assert len(names) == 14
    assert all(f"--{name}" in finished.stdout or f"--[no]{name}" in finished.stdout for name in names)
