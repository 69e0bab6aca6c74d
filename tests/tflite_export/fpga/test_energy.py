"""Energy figures."""

import pytest

from tflite_export import fpga
from tflite_export.fpga import energy
from tflite_export.fpga.loops.layer import Layer

LAYER = Layer("a", "elementwise", n_ox=8, n_oy=8, n_of=64, groups=64)


def accelerator(**changes):
    return fpga.accelerator("ma_arria10_200mhz", **changes)


def test_dram_energy_is_bits_times_the_memorys_figure():
    # 8192 bytes of 16-bit pixels in and out: 131,072 bits at 70 pJ.
    estimate = fpga.estimate((LAYER,), accelerator())
    assert estimate.dram_bytes == 16384
    assert estimate.dram_energy_mj == pytest.approx(131072 * 70e-9)
    low, high = estimate.dram_energy_range_mj
    assert (low, high) == (pytest.approx(131072 * 70e-9 / 1.5), pytest.approx(131072 * 70e-9 * 1.5))
    assert fpga.estimate((LAYER,), accelerator(dram_pj_per_bit=10.0)).dram_energy_mj == pytest.approx(131072 * 10e-9)


def test_row_activations_count_where_the_figure_leaves_them_out():
    # 64 descriptors in, 64 out, and two rows of 8 KiB: 130 rows at 4.5 nJ.
    estimate = fpga.estimate((LAYER,), accelerator(dram_type="ddr3_core"))
    assert estimate.row_activations == 130
    assert estimate.dram_energy_mj == pytest.approx(131072 * 16e-9 + 130 * 4.5e-6)


def test_arithmetic():
    assert energy.mac_energy_pj(8, 8) == pytest.approx(0.2 + 0.1)
    assert energy.mac_energy_pj(32, 32) == pytest.approx(3.1 + 0.1, rel=0.04)
    layer = Layer("f", "fully_connected", n_if=1000, n_of=1000)
    assert fpga.estimate((layer,), accelerator()).mac_energy_mj == pytest.approx(1e6 * 0.9e-9)


@pytest.mark.parametrize("kib, pj", [(8, 10), (32, 20), (1024, 100)])
def test_sram_goes_through_the_published_points(kib, pj):
    assert 64 * energy.sram_pj_per_bit(kib) == pytest.approx(pj)


def test_buffers():
    # A fully connected layer on 64 units: 64 weights and one pixel of 16 bits in each of 1000 * ceil(1000 / 64) cycles.
    layer = Layer("f", "fully_connected", n_if=1000, n_of=1000)
    mine = accelerator(input_buffer_kib=1024, weight_buffer_kib=32)
    expected = 16000 * (16 * 100 / 64 + 64 * 16 * 20 / 64) * 1e-9
    assert fpga.estimate((layer,), mine).buffer_energy_mj == pytest.approx(expected)
