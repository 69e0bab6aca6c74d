"""DSP blocks, memory blocks and logic."""

import dataclasses

import pytest

from tflite_export import fpga
from tflite_export.fpga.resources import (
    DPU_POINTS,
    DPU_WITH_OPTIONS,
    bram18_blocks,
    buffer_shapes,
    logic_fit,
    m20k_blocks,
    macs_per_dsp,
    uram_blocks,
)


@pytest.mark.parametrize(
    "width, depth, m20k, bram18, uram",
    [
        # Two M20K of 512 x 40, two BRAM18 of 512 x 36, one URAM of 4096 x 72.
        (72, 512, 2, 2, 1),
        (40, 512, 1, 2, 1),
        # Deeper than 512 words, a BRAM18 is 1024 x 18.
        (40, 1024, 2, 3, 1),
        (8, 2048, 1, 1, 1),
        (9, 4096, 2, 2, 1),
        (1, 16384, 1, 1, 4),
        (2, 16384, 2, 2, 4),
        # M20K: 9 * 4 of 512 x 40, against 5 * 8 of 1K x 20 and 3 * 15 of 2K x 10. BRAM18: 5 * 8. URAM: 2 * 2.
        (144, 4097, 36, 40, 4),
    ],
)
def test_memory_blocks(width, depth, m20k, bram18, uram):
    assert (m20k_blocks(width, depth), bram18_blocks(width, depth), uram_blocks(width, depth)) == (m20k, bram18, uram)


@pytest.mark.parametrize(
    "family, bits, floating_point, macs",
    [
        ("arria_10", (16, 16), False, 2),
        ("stratix_v", (8, 16), False, 2),
        ("arria_10", (27, 27), False, 1),
        ("arria_10", (32, 32), True, 1),
        ("ultrascale+", (8, 8), False, 2),
        ("ultrascale+", (8, 16), False, 1),
        ("ultrascale+", (18, 27), False, 1),
        ("7_series", (8, 8), False, 1),
        ("7_series", (32, 32), True, 0.2),
        ("7_series", (32, 32), False, 0.25),
    ],
)
def test_macs_of_a_dsp_block(family, bits, floating_point, macs):
    assert macs_per_dsp(family, *bits, floating_point) == macs


def test_dpu_blocks_against_the_product_guide():
    for macs, lut, bram36, dsp in DPU_POINTS:
        used = fpga.resources(fpga.accelerator(f"dpu_b{2 * macs}_zcu102"), fpga.device("zu9eg"))
        assert used.dsp == dsp
        assert used.bram == pytest.approx(bram36, rel=0.15)
        assert used.lut == pytest.approx(lut, rel=used.lut_error)
        assert not used.shortfalls


def test_the_error_of_the_logic_is_that_of_the_worst_point():
    base, slope, error = logic_fit(intel=False)
    points = [point[:2] for point in DPU_POINTS] + [DPU_WITH_OPTIONS]
    assert error == pytest.approx(max(abs(lut / (base + slope * macs) - 1) for macs, lut in points))
    assert 0.1 < error < 0.25


def test_arria_10_against_the_published_design():
    # 3136 MAC units at two a block need 1568 of 1518 blocks; 100 units go into logic. Published: all DSP blocks, 161
    # k ALM.
    used = fpga.estimate((), "ma_arria10_150mhz").resources
    assert (used.dsp, used.logic_macs, used.shortfalls) == (1518, 100, ())
    assert used.lut == pytest.approx(161_000, rel=0.05)
    assert any("DSP: 100%" in warning for warning in used.warnings)


def test_buffers_by_hand():
    # 64 pixels of 8 bits a cycle are the port's 512 bits. 32 KiB are 512 words: 15 BRAM18 of 36 bits hold 540 bits,
    # twice for double buffering; the same for the other two.
    accelerator = fpga.Accelerator(
        name="mine",
        unroll={"of": 8, "ox": 8, "oy": 8},
        clock_mhz=200.0,
        weight_bits=8,
        activation_bits=8,
        dram_gb_per_s=12.8,
        input_buffer_kib=32,
        weight_buffer_kib=32,
        output_buffer_kib=32,
    )
    assert buffer_shapes(accelerator) == ((512, 512),) * 3
    assert fpga.resources(accelerator, fpga.device("zu9eg")).bram == 3 * 2 * 15 / 2
    # M20K of 512 x 40: ceil(512 / 40) = 13.
    assert fpga.resources(accelerator, fpga.device("arria10_gx1150")).bram == 3 * 2 * 13
    # A Virtex-7 board brings its own memory controller in logic.
    soft, hard = (fpga.resources(accelerator, fpga.device(name)) for name in ("xc7vx690t", "xc7z045"))
    assert (soft.lut - hard.lut, soft.bram - hard.bram, soft.dsp - hard.dsp) == (33_000, 99.5, 3)


def test_what_does_not_fit_is_said():
    accelerator = dataclasses.replace(fpga.accelerator("ma_arria10_200mhz"), logic_macs=False)
    estimate = fpga.estimate((), accelerator, device="xc7z020")
    assert not estimate.fits
    assert any(text.startswith("DSP: 3136 of 220, 2916 too many") for text in estimate.resources.shortfalls)
    assert any(text.startswith("BRAM36: ") for text in estimate.resources.shortfalls)
    assert "fits         no: DSP: 3136 of 220" in str(estimate)


def test_ultraram_takes_what_block_ram_cannot():
    estimate = fpga.estimate((), "dpu_b4096_kv260")
    assert estimate.fits
    assert 0 < estimate.resources.uram <= 64
    assert estimate.bram <= 144
