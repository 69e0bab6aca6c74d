"""The script of experiments as a person runs it: killed, started again, and asked for what it does not do."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import cgap_keras
from examples import datasets

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "train.py"
# Each edit has the step traced anew, so there are three.
_EDITS = ("--capacity=0.3", "--growth_rate=1.0", "--prune_steps=1")
RUN = ("--method=cgap", "--epochs=5", "--limit=300", "--backup_every=3", *_EDITS)


def start(*flags):
    variables = {**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(SCRIPT), *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables)


def finish(process):
    """What a process prints, once it has ended."""
    printed, errors = process.communicate()
    return process.returncode, printed, errors


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    """The folder of a run that nobody disturbs."""
    out = tmp_path_factory.mktemp("left_alone") / "out"
    code, _, errors = finish(start(*RUN, f"--out={out}"))
    assert code == 0, errors
    return out


def read(out):
    return json.loads((out / "row.json").read_text())


def comparable(row):
    """What of a row does not depend on the clock or on where it lies."""
    row = {name: value for name, value in row.items() if name not in ("seconds", "latency_ms", "command")}
    return {**row, "edits": [{**edit, "seconds": 0} for edit in row["edits"]]}


def test_a_run_that_is_killed_and_started_again_has_the_row_of_one_left_alone(left_alone, tmp_path):
    out = tmp_path / "out"
    process = start(*RUN, f"--out={out}")
    while "Epoch 2/5" not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    # Killed once more, while the figures are taken of the network that is trained by then.
    process = start(*RUN, f"--out={out}")
    while process.poll() is None and not (out / "network.keras").exists():
        time.sleep(0.01)
    process.kill()
    _, printed, errors = finish(process)
    assert "Epoch 1/5" not in printed and "Epoch 5/5" in printed, errors
    assert not (out / "row.json").exists()
    code, printed, errors = finish(start(*RUN, f"--out={out}"))
    assert code == 0, errors
    assert "Epoch" not in printed
    assert comparable(read(out)) == comparable(read(left_alone))
    assert {path.name for path in out.iterdir()} == {path.name for path in left_alone.iterdir()}


def test_a_finished_run_is_not_run_again(left_alone):
    before = (left_alone / "row.json").read_bytes()
    code, printed, _ = finish(start(*RUN, f"--out={left_alone}"))
    assert (code, printed) == (0, f"Finished already: {left_alone / 'row.json'}\n")
    assert (left_alone / "row.json").read_bytes() == before


def test_a_folder_of_another_run_is_refused(left_alone):
    before = (left_alone / "row.json").read_bytes()
    code, _, errors = finish(start(*RUN, "--epochs=6", "--learning_rate=0.1", f"--out={left_alone}"))
    assert code == 1
    assert "epochs=5 (now 6), learning_rate=0.002 (now 0.1). Use them again, or name another folder" in errors
    assert (left_alone / "row.json").read_bytes() == before


def test_the_row_is_that_of_the_saved_network(left_alone):
    row, network, data = (
        read(left_alone),
        keras.models.load_model(left_alone / "network.keras"),
        datasets.read("digits", limit=300),
    )
    logits = network.predict((data.x_val - np.array(row["mean"])) / np.array(row["deviation"]), verbose=0)
    cost = cgap_keras.cost(network)
    assert row["top1"] == pytest.approx(np.mean(logits.argmax(-1) == data.y_val))
    assert (row["params"], row["macs"]) == (cost.params, cost.macs)
    assert row["widths"] == {group.name: group.size for group in cgap_keras.find_groups(network) if not group.frozen}
    assert row["file_bytes"] == (left_alone / "file" / "float32.tflite").stat().st_size
    assert row["split"] == "validation" and row["images"] == len(data.x_train)


def test_the_network_was_edited_within_its_budgets(left_alone):
    row, dense = read(left_alone), cgap_keras.cost(cgap_keras.zoo.digits_cnn()).macs
    assert [edit["kind"] for edit in row["edits"]] == ["grow", "grow", "prune"]
    assert max(edit["macs_after"] for edit in row["edits"]) <= row["capacity"] * dense
    assert row["finished"] and 0.1 * dense < row["macs"] <= row["target"] * dense
    # Half of the steps are for fine-tuning.
    assert row["edits"][-1]["step"] <= 5 * (row["images"] // 32) / 2


def test_training_macs_are_those_of_each_step(left_alone):
    row = read(left_alone)
    steps, expected = 5 * (row["images"] // 32), 0
    for step in range(steps):
        done = [edit for edit in row["edits"] if edit["step"] <= step]
        expected += 3 * 32 * (done[-1]["macs_after"] if done else row["edits"][0]["macs_before"])
    assert row["training_macs"] == expected


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--method must have a value other than None"),
        (["--method=shrink"], "method"),
        (["--method=cgap", "--epoch=4"], "epoch"),
        (["--method=cgap", "digits"], "every argument is a flag"),
        (["--method=cgap", "--model=resnet21"], "model"),
        (["--method=cgap", "--target=0.5", "--capacity=0.4"], "--target must be at most --capacity"),
        (["--method=retrain"], "--method=retrain and --structure go together"),
        (["--method=dense", "--structure=row.json"], "--method=retrain and --structure go together"),
        (["--method=retrain", "--structure=nowhere.json"], "--structure must be a row.json or a .keras file"),
        (["--method=dense", "--out=/proc/nothing"], "cannot write to the output folder"),
    ],
)
def test_a_wrong_flag_is_one_sentence_and_status_1(flags, words, tmp_path):
    out = [] if any(flag.startswith("--out") for flag in flags) else [f"--out={tmp_path / 'out'}"]
    code, printed, errors = finish(start(*out, *flags))
    assert code == 1 and words in errors and "Traceback" not in errors
    assert "Epoch" not in printed and not list(tmp_path.rglob("*"))
