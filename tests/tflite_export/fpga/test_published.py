"""Estimates beside measurements of the same accelerator on its board.

The measurements, and the networks that `keras.applications` does not have, are those of `benchmarks/fpga_boards.py`,
which keeps its table in `benchmarks/results/fpga_boards.json`. Each accelerator has one description for all networks.
"""

import importlib.util
import json
import pathlib

import pytest

from tflite_export import fpga
from tflite_export.fpga.resources import dsp_blocks

BENCHMARKS = pathlib.Path(__file__).parents[3] / "benchmarks"


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


boards = _load(BENCHMARKS / "fpga_boards.py")


@pytest.fixture(scope="module")
def table():
    return [boards.estimated(row) for row in boards.rows()]


def test_networks_have_the_operations_that_the_publications_name():
    # Gigaoperations: Vitis AI model zoo README; 2.2 for Network in Network and 1.33 for AlexNet's convolutions. Xilinx
    # counts ResNet-101 and -152 with strides in other places, 5 % lower.
    published = {"ResNet50": 7.76, "VGG16": 30.96, "VGG19": 39.28, "InceptionV3": 11.45, "MobileNet": 1.14}
    published |= {"MobileNetV2": 0.60, "NiN": 2.2, "AlexNet": 1.33}
    for network, gigaoperations in published.items():
        assert 2e-9 * boards.macs(network) == pytest.approx(gigaoperations, rel=0.01)


def test_latencies(table):
    # Ma's seven points, eight networks on three boards, four on each of two under older software, and Zhang's.
    assert len(table) == 7 + 3 * 8 + 2 * 4 + 1
    beyond = {(row["accelerator"], row["network"]): row["error"] for row in table if not row["within"]}
    assert not beyond


@pytest.mark.parametrize(
    "accelerator, network, published_ms, bound",
    [
        ("ma_arria10_150mhz", "VGG16", 47.97, 0.04),
        ("ma_arria10_200mhz", "ResNet50", 12.5, 0.03),
        ("dpu_b4096_kv260", "VGG16", 1e3 / 21.50, 0.10),
        ("dpu_b4096_kv260", "MobileNet", 1e3 / 354.19, 0.10),
        ("dpu_b4096_kv260", "MobileNetV2", 1e3 / 290.62, 0.10),
        ("dpu_b4096_zcu102", "VGG16", 1e3 / 20.15, 0.10),
        ("dpu_b1600_ultra96", "MobileNet", 5.97, 0.10),
        # Zhang et al. name the time too.
        ("zhang_vc707", "AlexNet", 21.61, 0.10),
    ],
)
def test_narrower_bounds(table, accelerator, network, published_ms, bound):
    row = next(row for row in table if (row["accelerator"], row["network"]) == (accelerator, network))
    assert row["measured_ms"] == pytest.approx(published_ms, rel=0.004)
    assert row["estimate_ms"] == pytest.approx(published_ms, rel=bound)


def test_the_kept_table_is_this_one(table):
    kept = json.loads((BENCHMARKS / "results" / "fpga_boards.json").read_text())["boards"]
    assert [row["network"] for row in kept] == [row["network"] for row in table]
    assert [row["estimate_ms"] for row in kept] == pytest.approx([row["estimate_ms"] for row in table])


@pytest.mark.parametrize(
    "name, dsp", [("ma_arria10_150mhz", 1518), ("ma_arria10_200mhz", 1518), ("ma_stratixv_150mhz", 256)]
)
def test_dsp_blocks_of_ma(name, dsp):
    assert fpga.estimate((), name).dsp == dsp


def test_dsp_blocks_of_zhang():
    # 64 * 7 single-precision units of five slices, as published; the memory controller adds its own.
    accelerator = fpga.accelerator("zhang_vc707")
    assert dsp_blocks(accelerator, fpga.device(accelerator.device)) == (2240, 0)


@pytest.mark.parametrize("name", ["dpu_b1600_ultra96", "dpu_b4096_zcu102"])
def test_the_dpu_takes_a_three_by_three_kernel_over_1024_maps(name):
    # As in YOLO-v2, which the model zoo runs on both boards.
    layer = fpga.Layer("conv", "conv", n_kx=3, n_ky=3, n_if=1024, n_ox=14, n_oy=14, n_of=1024)
    assert fpga.estimate((layer,), name).latency_ms > 0
