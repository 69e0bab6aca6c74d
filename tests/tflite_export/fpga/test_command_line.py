"""The command line."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import keras
import pytest
from absl import flags
from absl.testing import flagsaver
from keras import layers

from tflite_export import fpga
from tflite_export.fpga import __main__
from tflite_export.fpga.__main__ import run
from tflite_export.fpga.design.explore import explore


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


def test_it_writes_the_plots(model_path, tmp_path):
    run(model_path, "dpu_b512_zcu102", plots=str(tmp_path / "plots"))
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["layers.svg", "roofline.svg"]
    for path in (tmp_path / "plots").iterdir():
        text = ElementTree.fromstring(path.read_text()).itertext()
        assert any(line == "dpu_b512_zcu102 on zu9eg" for line in text)


def test_it_searches(model_path, tmp_path):
    out = tmp_path / "search.json"
    table = run(model_path, device="xc7z020", out=str(out), search={"objective": "energy", "share": 0.5})
    found = explore(keras.models.load_model(model_path, compile=False), "xc7z020", objective="energy", share=0.5)
    assert table == str(found)
    data = json.loads(out.read_text())
    assert (data["objective"], data["share"]) == ("energy", 0.5)
    assert (
        data["estimate"]["dram_energy_mj"]
        == found.estimate.dram_energy_mj
        == min(row["dram_energy_mj"] for row in data["front"])
    )


def test_nothing_is_written_where_anything_fails(tmp_path):
    # A network without a multiplication has an estimate and no roofline.
    path = tmp_path / "pool.keras"
    keras.Sequential([keras.Input((8, 8, 3)), layers.MaxPooling2D()]).save(path)
    with pytest.raises(ValueError, match="must have a layer that multiplies"):
        run(str(path), "dpu_b512_zcu102", out=str(tmp_path / "out.json"), plots=str(tmp_path / "plots"))
    assert [x.name for x in tmp_path.iterdir()] == ["pool.keras"]


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
    "given, status, shown",
    [
        (["--accelerator=dpu_b512_zcu102"], 0, "dpu_b512_zcu102 on zu9eg: 256 MAC units"),
        (["--explore", "--device=xc7z020", "--objective=energy", "--share=0.5"], 0, "take more than 50% of the device"),
        (["--explore", "--device=zu9eg", "--objective=area"], 1, "one of latency, energy. Received: objective='area'"),
        (["--explore"], 1, "`device` or `accelerator` must be given. Received: accelerator=None, device=None"),
        (["--device=zu9eg"], 1, "`accelerator` must be given. Received: accelerator=None, device='zu9eg'"),
        (
            ["--accelerator=dpu_b512_zcu102", "--share=0.5"],
            1,
            "--share must come with --explore. Received: {'share': 0.5}",
        ),
    ],
)
def test_flags(model_path, given, status, shown, capsys):
    with flagsaver.flagsaver():
        flags.FLAGS(["fpga", f"--model={model_path}", *given])
        assert __main__.main([]) == status
    assert shown in capsys.readouterr()[status]


@pytest.mark.parametrize(
    "arguments, error",
    [
        (("missing.keras", "dpu_b512_zcu102"), FileNotFoundError),
        (("missing.keras", "dpu_b512_zcu102", "no_device"), ValueError),
        (("missing.keras",), ValueError),
        (("missing.keras", None, None, None, None, {}), ValueError),
    ],
)
def test_wrong_arguments(arguments, error):
    with pytest.raises(error, match="Received: "):
        run(*arguments)
