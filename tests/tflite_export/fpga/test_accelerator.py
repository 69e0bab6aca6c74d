"""Descriptions of accelerators: what is accepted, what is refused, what is derived."""

import dataclasses

import pytest

from tflite_export import fpga

MINE = {
    "name": "mine",
    "unroll": {"of": 16, "ox": 14, "oy": 14},
    "clock_mhz": 200.0,
    "weight_bits": 8,
    "activation_bits": 8,
    "dram_gb_per_s": 12.8,
    "input_buffer_kib": 512,
    "weight_buffer_kib": 512,
    "output_buffer_kib": 512,
    "layer_overhead_us": 0.0,
}


def test_derived_figures():
    accelerator = fpga.Accelerator(**MINE)
    assert accelerator.mac_units == 3136
    assert accelerator.peak_gops == pytest.approx(1254.4)
    # 12.8 GB/s * 0.7 is less than 64 bytes * 200 MHz.
    assert accelerator.bytes_per_us == pytest.approx(8960)
    assert dataclasses.replace(accelerator, dma_bits=256).bytes_per_us == pytest.approx(6400)
    assert accelerator.unroll == MINE["unroll"]


def test_it_is_a_value():
    unroll = {"of": 4}
    accelerator = fpga.Accelerator(**(MINE | {"unroll": unroll}))
    unroll["of"] = 8
    assert accelerator.unroll["of"] == 4
    assert accelerator == fpga.Accelerator(**(MINE | {"unroll": {"of": 4}}))
    assert hash(accelerator) == hash(fpga.Accelerator(**(MINE | {"unroll": {"of": 4}})))
    with pytest.raises(dataclasses.FrozenInstanceError):
        accelerator.clock_mhz = 100.0


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("unroll", {"channels": 4}, "unknown loop 'channels'; the loops are of, if, ox, oy, kx, ky, oxy"),
        ("unroll", {"of": 0}, r"`unroll\['of'\]` must be a positive int"),
        ("unroll", {"of": 4.0}, r"`unroll\['of'\]` must be a positive int"),
        ("unroll", {"oxy": 4, "ox": 2}, "either 'oxy' or 'ox' and 'oy'"),
        ("pool_unroll", {"oxy": 4, "ox": 2}, "`pool_unroll` must name either"),
        ("clock_mhz", 0, "`clock_mhz` must be a positive number"),
        ("clock_mhz", float("nan"), "`clock_mhz` must be a positive number"),
        ("weight_bits", 7.5, "`weight_bits` must be a positive int"),
        ("dram_efficiency", 1.2, "`dram_efficiency` must be above 0 and at most 1"),
        ("layer_overhead_us", -1.0, "`layer_overhead_us` must be at least 0"),
        ("output_words_per_cycle", 0, "`output_words_per_cycle` must be a positive int, or None"),
        ("dram_pj_per_bit", -1.0, "`dram_pj_per_bit` must be at least 0, or None"),
        ("tiling", "best", "`tiling` must be one of traffic, time"),
        ("tile_order", "columns", "`tile_order` must be one of best, maps, rows"),
        ("dram_type", "ddr9", "`dram_type` must be one of ddr3, "),
    ],
)
def test_a_wrong_field_is_named(field, value, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: {field}"):
        fpga.Accelerator(**(MINE | {field: value}))


def test_an_unroll_that_is_no_dict():
    with pytest.raises(TypeError, match="`unroll` must be a dict.*Received: unroll=16"):
        fpga.Accelerator(**(MINE | {"unroll": 16}))


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match="ma_arria10_150mhz.*dpu_b4096_zcu102.*Received: accelerator='ma'"):
        fpga.accelerator("ma")
    with pytest.raises(ValueError, match="arria10_gx1150.*Received: device='arria'"):
        fpga.device("arria")
    with pytest.raises(ValueError, match="`device` must be given.*Received: accelerator='mine', device=None"):
        fpga.estimate((), fpga.Accelerator(**MINE))


def test_presets_are_complete():
    arrays = {name: fpga.accelerator(name).mac_units for name in fpga.ACCELERATORS if name.endswith("zcu102")}
    # A DPU is named after its operations a cycle, two a multiply-accumulate.
    assert {int(name.split("_")[1][1:]) for name in arrays} == {2 * units for units in arrays.values()}
    assert all(x.source and x.device in fpga.DEVICES for x in fpga.ACCELERATORS.values())
    assert all(name == x.name for table in (fpga.ACCELERATORS, fpga.DEVICES) for name, x in table.items())
    assert fpga.accelerator("ma_arria10_200mhz", clock_mhz=240.0).clock_mhz == 240.0
