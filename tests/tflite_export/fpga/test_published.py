"""Estimates beside measurements of the same accelerator on its board.

Each accelerator has one description for all networks. What is further off than 10 % is listed, with the reason as far
as it is known, in `docs/fpga.md`.
"""

import functools

import keras
import pytest

import cgap_keras
from tflite_export import fpga


@functools.cache
def network(name):
    model = getattr(keras.applications, name)(weights=None)
    rows = fpga.workload(model)
    assert sum(row.macs for row in rows) == cgap_keras.cost(model).macs
    return rows


@pytest.mark.parametrize(
    "accelerator, name, published_ms, bound",
    [
        # Ma et al., FPGA 2017 (47.97 ms) and FPL 2017 (720.15, 619.13 and 352.24 GOPS).
        ("ma_arria10_150mhz", "VGG16", 47.97, 0.04),
        ("ma_arria10_200mhz", "VGG16", 43.2, 0.10),
        ("ma_arria10_200mhz", "ResNet50", 12.5, 0.03),
        ("ma_stratixv_150mhz", "VGG16", 87.8, 0.10),
        # Vitis AI 2.5 model zoo, one thread, in frames a second.
        ("dpu_b4096_kv260", "ResNet50", 1e3 / 93.80, 0.10),
        ("dpu_b4096_kv260", "VGG16", 1e3 / 21.50, 0.10),
        ("dpu_b4096_kv260", "MobileNet", 1e3 / 354.19, 0.10),
        ("dpu_b4096_kv260", "MobileNetV2", 1e3 / 290.62, 0.10),
        ("dpu_b4096_zcu102", "ResNet50", 1e3 / 87.33, 0.10),
        ("dpu_b4096_zcu102", "VGG16", 1e3 / 20.15, 0.10),
        ("dpu_b4096_zcu104", "ResNet50", 1e3 / 93.23, 0.10),
        ("dpu_b1600_ultra96", "MobileNet", 5.97, 0.10),
    ],
)
def test_latency(accelerator, name, published_ms, bound):
    assert fpga.estimate(network(name), accelerator).latency_ms == pytest.approx(published_ms, rel=bound)
