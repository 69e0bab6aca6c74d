"""`python -m tflite_export`: exit codes, one clear sentence for an error, the files."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tflite_export import Interpreter, read_metadata


def run(*flags, **environment):
    return subprocess.run(
        [sys.executable, "-m", "tflite_export", *flags],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def inputs(make_model, samples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    make_model().save(folder / "model.keras")
    np.savez(folder / "samples.npz", anything=samples)
    np.save(folder / "pickled.npy", np.array([{}]), allow_pickle=True)
    (folder / "broken.json").write_text("{")
    (folder / "metadata.json").write_text('{"preprocessing": "pixel / 255"}')
    (folder / "truncated.npz").write_bytes((folder / "samples.npz").read_bytes()[:500])
    (folder / "truncated.keras").write_bytes((folder / "model.keras").read_bytes()[:500])
    return folder


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "--model must be given"),
        (["--model=model.keras"], "--out must be given"),
        (["--model=missing.keras", "--out=new"], "Received: --model=missing.keras"),
        (["--model=truncated.keras", "--out=new"], "--model must name a whole .keras file"),
        (["--model=samples.npz", "--out=new"], "--model must name a .keras file"),
        (["--model=model.keras", "--out=new", "--quantization=float32,int7"], "['float32', 'int7']"),
        (["--model=model.keras", "--out=new", "--quantization=int8"], "needs --representative_data"),
        (["--model=model.keras", "--out=new", "--representative_data=missing.npz"], "=missing.npz"),
        (["--model=model.keras", "--out=new", "--representative_data=truncated.npz"], "=truncated.npz"),
        (
            ["--model=model.keras", "--out=new", "--quantization=float32", "--labels=pickled.npy"],
            "--labels must hold NumPy arrays of numbers",
        ),
        (["--model=model.keras", "--out=new", "--integer_io=perhaps"], "integer_io=perhaps"),
        (["--model=model.keras", "--out=new", "--threads=0"], "--threads=0"),
        (
            ["--model=model.keras", "--out=new", "--quantization=float32", "--metadata=broken.json"],
            "--metadata must hold JSON",
        ),
        (["--model=model.keras", "--out=new", "--weight_bits=logits"], "--weight_bits must be layers and bits"),
        (["--unknown=1"], "'unknown'"),
        (["model.keras", "--out=new"], "Received: model.keras"),
    ],
)
def test_wrong_flag_is_one_line_and_status_1(inputs, monkeypatch, flags, message):
    root = os.getcwd()
    monkeypatch.chdir(inputs)
    before = sorted(os.listdir(inputs))
    finished = run(*flags, PYTHONPATH=root)
    assert finished.returncode == 1
    assert message in finished.stderr and finished.stderr.count("\n") == 1
    assert finished.stdout == "" and sorted(os.listdir(inputs)) == before


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="there is no JAX beside it")
def test_command_line_exports_on_another_backend(inputs, tmp_path):
    pytest.importorskip("jax")
    finished = run(
        *(f"--model={inputs / 'model.keras'}", f"--out={tmp_path}", "--quantization=float32"),
        *(f"--metadata={inputs / 'metadata.json'}", "--dynamic_batch", "--threads=2"),
        KERAS_BACKEND="jax",
    )
    assert finished.returncode == 0, finished.stderr
    assert "float32" in finished.stdout and "standard normal samples" in finished.stdout
    assert read_metadata(tmp_path / "float32.tflite")["preprocessing"] == "pixel / 255"
    assert Interpreter(tmp_path / "float32.tflite").dynamic_batch
    report = json.loads((tmp_path / "export.json").read_text())
    assert report["files"][0]["bytes"] == (tmp_path / "float32.tflite").stat().st_size
    assert report["files"][0]["outputs"][0]["max_abs"] <= 1e-5 * report["files"][0]["outputs"][0]["span"]
