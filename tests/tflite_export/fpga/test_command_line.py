"""The command line."""

import json
import subprocess
import sys

import keras
import pytest
from keras import layers

from tflite_export import fpga
from tflite_export.fpga.__main__ import run


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    keras.utils.set_random_seed(0)
    stack = [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)]
    path = tmp_path_factory.mktemp("models") / "model.keras"
    keras.Sequential(stack).save(path)
    return str(path)


def test_it_writes_the_estimate(model_path, tmp_path):
    out = tmp_path / "estimate.json"
    table = run(model_path, "dpu_b512_zcu102", device="zu9eg", out=str(out))
    estimate = fpga.estimate(keras.models.load_model(model_path, compile=False), "dpu_b512_zcu102")
    assert table == str(estimate)
    assert json.loads(out.read_text())["dram_bytes"] == estimate.dram_bytes


def test_an_error_is_one_sentence_and_status_1(model_path):
    command = [sys.executable, "-m", "tflite_export.fpga", f"--model={model_path}", "--accelerator=none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert lines[0].endswith("Received: accelerator='none'")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments, error",
    [
        (("missing.keras", "dpu_b512_zcu102"), FileNotFoundError),
        (("missing.keras", "dpu_b512_zcu102", "no_device"), ValueError),
    ],
)
def test_wrong_arguments(arguments, error):
    with pytest.raises(error, match="Received: "):
        run(*arguments)
