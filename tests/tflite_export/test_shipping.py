"""What goes along with a file: any batch size, metadata, the arena of a microcontroller, source code of firmware."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRT

from tflite_export import QUANTIZATIONS, Interpreter, c_array, export, read_metadata
from tflite_export.metadata import describe

METADATA = {"labels": [f"class {i}" for i in range(10)], "preprocessing": "pixel / 255"}


@pytest.fixture(scope="module")
def shipped(make_model, samples, tmp_path_factory):
    """The model, and its export with everything that goes along with a file."""
    pytest.importorskip("tflite_micro", reason="the extra `micro` is not installed")
    model = make_model()
    folder = tmp_path_factory.mktemp("shipped")
    return model, export(model, folder, tuple(QUANTIZATIONS), samples, metadata=METADATA, micro=True)


@pytest.fixture(scope="module")
def flexible(make_model, samples, tmp_path_factory):
    """The model, and its export for any number of samples at once."""
    model = make_model()
    folder = tmp_path_factory.mktemp("flexible")
    return model, export(model, folder, ("float32", "int8"), samples, dynamic_batch=True, threads=2)


@pytest.mark.parametrize("quantization, bound", [("float32", 1e-5), ("int8", 0.2)])
@pytest.mark.parametrize("count", [1, 7, 40])
def test_file_of_open_batch_answers_any_number_of_samples(flexible, samples, quantization, bound, count):
    model, result = flexible
    runner = LiteRT(model_path=str(result[quantization].path)).get_signature_runner()
    expected = model.predict(samples[:count], verbose=0)
    actual = runner(image=samples[:count])["logits"]
    assert actual.shape == (count, 10)
    assert np.abs(actual - expected).max() <= bound * np.ptp(expected)
    assert np.array_equal(Interpreter(result[quantization].path).run({"image": samples[:count]})["logits"], actual)


def test_number_of_threads_is_told(flexible):
    _, result = flexible
    assert "timed with batch size 1 on 2 threads" in str(result)
    assert json.loads((result.directory / "export.json").read_text())["threads"] == 2


def test_metadata_are_in_the_file_for_us_and_for_other_tools(shipped):
    model, result = shipped
    for name, file in result.items():
        record = read_metadata(file.path)
        assert {key: record[key] for key in METADATA} == METADATA
        assert (record["model"], record["quantization"]) == (model.name, name)
        assert re.fullmatch(r"cgap-keras \d+\.\d+\.\d+", record["version"])
        assert len(bytes.fromhex(record["weights_sha256"])) == 32
        assert file.bytes == file.path.stat().st_size
        with zipfile.ZipFile(file.path) as archive:
            assert archive.read("labels.txt").decode().splitlines() == METADATA["labels"]


def test_a_file_with_metadata_answers_as_without(shipped, exported, samples):
    for name, file in shipped[1].items():
        with_metadata = Interpreter(file.path).run({"image": samples})["logits"]
        without = Interpreter(exported[1][name].path).run({"image": samples})["logits"]
        assert np.array_equal(with_metadata, without)


def test_hash_tells_weights_apart(shipped, make_model):
    _, result = shipped
    first, second = make_model(), make_model()
    second.layers[1].kernel.assign(second.layers[1].kernel * 1.001)
    told = read_metadata(result["float32"].path)["weights_sha256"]
    assert told == describe(first)["weights_sha256"] != describe(second)["weights_sha256"]


def test_file_without_metadata_has_none(exported):
    assert read_metadata(exported[1]["float32"].path) is None


@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
def test_arena_is_what_the_microcontroller_needs(shipped, quantization):
    _, result = shipped
    file = result[quantization]
    code = (
        "import sys\nfrom tflite_micro.python.tflite_micro import runtime\n"
        "runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))"
    )

    def fits(arena):
        command = [sys.executable, "-c", code, str(file.path), str(int(arena))]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert fits(file.arena_bytes * 1.1) and not fits(file.arena_bytes * 0.9)
    # The two feature maps of a residual block, of 12 x 12 x 8 values, have to be there at once.
    assert file.arena_bytes > 2 * 12 * 12 * 8 * {"float32": 4, "int8": 1, "int16x8": 2}[quantization]


def test_what_tflite_micro_cannot_run_says_why(shipped):
    _, result = shipped
    refused = {name: file.micro_refusal for name, file in result.items() if file.micro_refusal}
    assert set(refused) == {"float16", "int8_dynamic", "int4_weights"}
    for name, reason in refused.items():
        assert reason.startswith("tflite-micro cannot run the file: ") and f"{name}: {reason}" in str(result)
        assert result[name].arena_bytes is None and not (result.directory / f"{name}_model.cc").exists()


def test_source_of_firmware_holds_the_model_without_its_metadata(shipped):
    _, result = shipped
    source = (result.directory / "int8_model.cc").read_text()
    assert '#include "int8_model.h"' in source and (result.directory / "int8_model.h").exists()
    held = bytes(int(byte, 16) for byte in re.findall(r"0x(..),", source))
    file = result["int8"].path.read_bytes()
    assert file.startswith(held) and file[len(held) :].startswith(b"PK")
    assert f"int8_model_len = {len(held)};" in source


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_source_of_firmware_compiles(tmp_path):
    content = bytes(range(256)) + b"TFL3"
    for suffix, text in zip((".h", ".cc"), c_array(content, "tiny"), strict=True):
        (tmp_path / f"tiny{suffix}").write_text(text)
    (tmp_path / "main.cc").write_text(
        '#include <cstdio>\n#include "tiny.h"\n'
        "int main() { return fwrite(tiny, 1, tiny_len, stdout) != tiny_len || (size_t)tiny % 16; }\n"
    )
    subprocess.run(["g++", "main.cc", "tiny.cc", "-o", "tiny"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "tiny"], stdout=subprocess.PIPE, check=True).stdout == content


BAD_CALLS = {
    "metadata of one text": (dict(metadata="labels"), TypeError, "must be a dict"),
    "metadata of arrays": (dict(metadata={"mean": np.zeros(3)}), TypeError, "JSON"),
    "metadata that is not finite": (dict(metadata={"mean": float("nan")}), TypeError, "JSON"),
    "metadata of ours": (dict(metadata={"version": "2"}), ValueError, "leave .*version"),
    "too few labels": (dict(metadata={"labels": ["cat", "dog"]}), ValueError, "each class"),
    "a label of two lines": (dict(metadata={"labels": ["a\nb"] * 10}), ValueError, "each class"),
    "no thread": (dict(threads=0), ValueError, "threads=0"),
    "half a thread": (dict(threads=1.5), ValueError, "threads=1.5"),
}


@pytest.mark.parametrize("case", list(BAD_CALLS))
def test_bad_call_is_refused(make_model, tmp_path, case):
    arguments, error, message = BAD_CALLS[case]
    with pytest.raises(error, match=f"(?s){message}"):
        export(make_model(), tmp_path / "new", "float32", **arguments)
    assert os.listdir(tmp_path) == []


def test_fixed_batch_cannot_be_opened(make_model, tmp_path):
    import keras

    image = keras.Input(batch_shape=(1, 12, 12, 3))
    model = keras.Model(image, make_model()(image))
    with pytest.raises(ValueError, match="dynamic_batch.*batch shape"):
        export(model, tmp_path / "new", "float32", dynamic_batch=True)


def test_micro_without_its_extra_says_what_to_install(make_model, tmp_path, monkeypatch):
    monkeypatch.setattr("tflite_export.micro.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install cgap-keras\[micro\]"):
        export(make_model(), tmp_path / "new", "float32", micro=True)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["", "8bit", "my-model", "a b", "modèle"])
def test_name_of_an_array_is_one_of_c(name):
    with pytest.raises(ValueError, match="C identifier"):
        c_array(b"", name)
