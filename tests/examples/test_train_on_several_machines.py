"""The example of several processes as a person runs it: from the shell, on one machine."""

import os
import pathlib
import re
import subprocess
import sys

import keras
import pytest

from tests.distribution.children import QUICK_COMPILING

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "train_on_several_machines.py"


def run_script(*flags):
    command = [sys.executable, str(SCRIPT), *flags]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **QUICK_COMPILING}, timeout=300)


def test_two_processes_grow_and_save_one_model(tmp_path):
    finished = run_script("--epochs=2", "--limit=128", f"--out={tmp_path / 'out'}")
    assert finished.returncode == 0, finished.stderr[-4000:]
    lines = [line for line in finished.stdout.splitlines() if " · grow · " in line]
    assert len(lines) == 1
    params = int(re.search(r"([\d,]+) parameters$", finished.stdout)[1].replace(",", ""))
    assert lines[0].endswith(f"-> {params:,}")
    model = keras.models.load_model(tmp_path / "out" / "compact.keras")
    assert sum(v.size for v in map(keras.ops.convert_to_numpy, model.trainable_weights)) == params


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["now"], "every argument is a flag"),
        (["--batch_size=33"], "--batch_size must be a multiple of --processes"),
        (["--process_id=1"], "--process_id and --coordinator go together"),
        (["--process_id=2", "--coordinator=127.0.0.1:1"], "--process_id must be below --processes"),
    ],
)
def test_a_wrong_flag_is_one_sentence_and_status_1(flags, words):
    finished = run_script(*flags)
    assert finished.returncode == 1
    assert words in finished.stderr and "Traceback" not in finished.stderr
