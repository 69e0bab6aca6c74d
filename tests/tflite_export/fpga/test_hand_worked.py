"""Layers worked out by hand, on an accelerator with round figures.

The array runs 4 maps of 2 x 2 pixels at 100 MHz, so 100 cycles take 1 us. Weights and pixels have one byte, biases
four. The memory moves 100 bytes a microsecond, and a descriptor costs nothing.
"""

import pytest

from tflite_export import fpga
from tflite_export.fpga.loops.layer import Layer

CONV = Layer("c", "conv", n_kx=3, n_ky=3, n_if=2, n_ox=8, n_oy=8, n_of=6, padding=((1, 1), (1, 1)), biases=6)


def accelerator(**changes):
    fields = {
        "name": "round",
        "unroll": {"of": 4, "ox": 2, "oy": 2},
        "clock_mhz": 100.0,
        "weight_bits": 8,
        "activation_bits": 8,
        "dram_gb_per_s": 0.1,
        "dram_efficiency": 1.0,
        "input_buffer_kib": 64,
        "weight_buffer_kib": 64,
        "output_buffer_kib": 64,
        "descriptor_gap_bytes": 0,
    }
    return fpga.Accelerator(**(fields | changes))


def test_convolution_whose_pixels_fit():
    row = fpga.layer_estimate(CONV, accelerator())
    # 3*3*2 cycles for each of ceil(8/2) * ceil(8/2) blocks of pixels and ceil(6/4) of maps: 18 * 16 * 2.
    assert row.cycles == 576
    # 3*3*2*6 weights and 6 biases of 4 bytes; 8*8*2 pixels in; 8*8*6 out.
    assert (row.weight_bytes, row.input_bytes, row.output_bytes) == (108 + 24, 128, 384)
    # One tile would take 2.60 + 5.76 + 3.84 = 12.2 us. Two tiles of 4 and 2 maps move the same bytes: they read 4*22
    # + 128 = 216 and 44 bytes, compute 288 cycles each and write 256 and 128 bytes, so 2.16, max(2.88, 0.44),
    # max(2.88, 2.56), 1.28.
    assert (row.tile_rows, row.tile_maps, row.tiles) == (8, 4, 2)
    assert row.latency_us == pytest.approx(2.16 + 2.88 + 2.88 + 1.28)
    assert row.bound == "compute"


def test_convolution_whose_rows_are_cut():
    # A tile of T rows holds (T + 2) * 10 * 2 pixels with its zeros: 80 for two rows, 120 for four. 100 fit.
    row = fpga.layer_estimate(CONV, accelerator(input_buffer_kib=100 / 1024))
    assert (row.tile_rows, row.tile_maps, row.tiles) == (2, 6, 4)
    # The tiles read rows 0-2, 1-4, 3-6 and 5-7: 14 rows of 8 * 2 pixels. Weights are read once.
    assert (row.weight_bytes, row.input_bytes, row.output_bytes) == (132, 14 * 16, 384)
    # Reads 132 + 48, 64, 64, 48; computes 18 * 4 * 1 * 2 = 144 cycles a tile; writes 2 * 8 * 6 = 96.
    assert row.cycles == 576
    assert row.latency_us == pytest.approx(1.80 + 4 * 1.44 + 0.96)


@pytest.mark.parametrize(
    "order, weight_bytes, input_bytes",
    # With rows and maps both cut, either the 224 bytes of pixels are read for each of 2 tiles of maps, or the 132 of
    # weights for each of 4 of rows. 132 + 448 is less than 528 + 224.
    [("maps", 132, 448), ("rows", 528, 224), ("best", 132, 448)],
)
def test_convolution_with_rows_and_maps_cut(order, weight_bytes, input_bytes):
    # 72 weights are four maps.
    small = accelerator(input_buffer_kib=100 / 1024, weight_buffer_kib=72 / 1024, tile_order=order)
    row = fpga.layer_estimate(CONV, small)
    assert (row.tile_rows, row.tile_maps, row.tiles) == (2, 4, 8)
    assert (row.weight_bytes, row.input_bytes, row.output_bytes) == (weight_bytes, input_bytes, 384)


def test_fully_connected_is_streamed():
    row = fpga.layer_estimate(Layer("f", "fully_connected", n_if=64, n_of=10, biases=10), accelerator())
    # Only `of` is unrolled: 64 * ceil(10 / 4).
    assert row.cycles == 192
    assert (row.weight_bytes, row.input_bytes, row.output_bytes) == (640 + 40, 64, 10)
    # Three tiles of 680 / 3 bytes and 64 cycles; the input comes with the first, the output leaves after the last.
    tile = 6.80 / 3
    assert row.latency_us == pytest.approx((0.64 + tile) + tile + tile + 0.64 + 0.10)
    assert row.bound == "weights"


def test_pooling_tiles_both_sides():
    layer = Layer("p", "pool", n_kx=2, n_ky=2, n_ox=4, n_oy=4, n_of=6, stride=(2, 2), groups=6)
    row = fpga.layer_estimate(layer, accelerator())
    # 4 window positions, 2 * 2 blocks of pixels, 2 of maps.
    assert row.cycles == 4 * 2 * 2 * 2
    assert (row.weight_bytes, row.input_bytes, row.output_bytes) == (0, 384, 96)
    # Windows do not overlap, so every cut moves the same bytes, and four tiles hide the most: reads 128, 128, 64, 64,
    # writes 32, 32, 16, 16.
    assert (row.tile_rows, row.tile_maps, row.tiles) == (2, 4, 4)
    assert row.latency_us == pytest.approx(1.28 + 1.28 + 0.64 + 0.64 + 0.16 + 0.16)
    assert row.bound == "feature maps"


@pytest.mark.parametrize("duplex, latency_us", [(True, 5.12), (False, 7.68)])
def test_addition_takes_the_longer_of_reading_and_writing(duplex, latency_us):
    layer = Layer("a", "elementwise", n_ox=8, n_oy=8, n_of=4, groups=4, operands=2, extra_input_elements=256)
    row = fpga.layer_estimate(layer, accelerator(duplex=duplex))
    assert (row.input_bytes, row.output_bytes, row.cycles) == (512, 256, 16)
    assert row.latency_us == pytest.approx(latency_us)


def test_descriptors_and_overhead_cost_time_and_no_bytes():
    layer = Layer("a", "elementwise", n_ox=8, n_oy=8, n_of=4, groups=4, operands=2, extra_input_elements=256)
    row = fpga.layer_estimate(layer, accelerator(descriptor_gap_bytes=32, layer_overhead_us=3.0))
    # Two operands of 4 maps: 8 descriptors of 32 bytes beside 512 bytes, and 3 us.
    assert row.latency_us == pytest.approx(5.12 + 2.56 + 3.0)
    assert (row.dram_bytes, row.descriptors) == (768, 12)


def test_results_that_leave_slowly_hold_the_array():
    # A 1 x 1 convolution over 2 maps sums for 2 cycles; 4 * 2 * 2 results at 4 a cycle take 4.
    layer = Layer("c", "conv", n_if=2, n_ox=8, n_oy=8, n_of=4)
    assert fpga.layer_estimate(layer, accelerator()).cycles == 2 * 16
    assert fpga.layer_estimate(layer, accelerator(output_words_per_cycle=4)).cycles == 4 * 16


def test_stride_two_reads_only_what_its_windows_cover():
    # 1 x 1 with stride 2: the windows of a row end at column 6. Two tiles read rows 0 to 2 and 4 to 6, and leave row
    # 3 out.
    layer = Layer("c", "conv", n_if=2, n_ox=4, n_oy=4, n_of=4, n_ix=8, n_iy=8, stride=(2, 2))
    row = fpga.layer_estimate(layer, accelerator())
    assert (row.tiles, row.input_bytes) == (2, 6 * 7 * 2)


def test_groups_run_one_after_the_other():
    # Two groups of 4 -> 4 maps on 2 x 2 pixels: 4 cycles each, in two tiles; each reads 16 weights and 16 pixels.
    layer = Layer("g", "conv", n_if=4, n_ox=2, n_oy=2, n_of=8, groups=2)
    row = fpga.layer_estimate(layer, accelerator())
    assert (row.cycles, row.tiles) == (8, 2)
    assert (row.weight_bytes, row.input_bytes, row.output_bytes) == (32, 32, 32)
    # 0.32 to read, 0.32 to read the second beside 0.04 of computing, 0.16 to write beside 0.04, 0.16 to write.
    assert row.latency_us == pytest.approx(0.32 + 0.32 + 0.16 + 0.16)


@pytest.mark.parametrize(
    "kind, unroll, cycles",
    [
        # The array shares pixels between maps, so maps run one by one: 9 * 16 blocks * 6 maps.
        ("depthwise", None, 9 * 16 * 6),
        # KH * KW * OH * ceil(OW / 4) * ceil(C / 4), as a DPU does it.
        ("depthwise", {"ox": 4, "of": 4}, 9 * 8 * 2 * 2),
    ],
)
def test_depthwise(kind, unroll, cycles):
    layer = Layer("d", kind, n_kx=3, n_ky=3, n_ox=8, n_oy=8, n_of=6, groups=6, padding=((1, 1), (1, 1)))
    row = fpga.layer_estimate(layer, accelerator(depthwise_unroll=unroll))
    assert (row.cycles, row.macs) == (cycles, 9 * 64 * 6)
    assert (row.weight_bytes, row.input_bytes, row.output_bytes) == (54, 384, 384)


def test_dpu_cycles():
    # B4096: 8 pixels of a row, 16 input maps and 16 output maps at once.
    layer = Layer("c", "conv", n_kx=3, n_ky=3, n_if=24, n_ox=28, n_oy=28, n_of=40, padding=((1, 1), (1, 1)))
    dpu = fpga.accelerator("dpu_b4096_zcu102")
    assert dpu.mac_units == 2048
    assert fpga.layer_estimate(layer, dpu).cycles == 3 * 3 * 28 * 4 * 2 * 3


def test_output_pixels_as_one_loop():
    # 9 * 9 pixels, 16 at once: ceil(81 / 16) passes, where 4 x 4 of them take 3 * 3. The memory is too fast to matter.
    layer = Layer("c", "conv", n_if=8, n_ox=9, n_oy=9, n_of=1)
    cycles = {}
    for unroll in ({"oxy": 16}, {"ox": 4, "oy": 4}):
        row = fpga.layer_estimate(layer, accelerator(unroll=unroll, dram_gb_per_s=1000.0, dma_bits=4096))
        cycles[tuple(unroll)] = row.cycles
    assert cycles == {("oxy",): 8 * 6, ("ox", "oy"): 8 * 9}


@pytest.mark.parametrize(
    "buffer, elements, needs",
    # The smallest tile is 2 rows of 4 maps: (2 + 2) * 10 * 2 pixels in, 4 * 18 weights, 2 * 8 * 4 pixels out.
    [("input_buffer_kib", 79, 80), ("weight_buffer_kib", 71, 72), ("output_buffer_kib", 63, 64)],
)
def test_a_layer_that_fits_no_tile_says_what_is_short(buffer, elements, needs):
    wide = Layer("block/conv", "conv", n_kx=3, n_ky=3, n_if=2, n_ox=8, n_oy=8, n_of=6, padding=((1, 1), (1, 1)))
    assert fpga.layer_estimate(wide, accelerator(**{buffer: needs / 1024})).cycles == 576
    with pytest.raises(ValueError, match=f"'block/conv'.*`{buffer}` needs {needs / 1024:.1f} KiB.*Received: accel"):
        fpga.layer_estimate(wide, accelerator(**{buffer: elements / 1024}))


def test_a_vector_that_does_not_fit_says_what_is_short():
    layer = Layer("dense", "fully_connected", n_if=4096, n_of=10)
    with pytest.raises(ValueError, match="'dense'.*4096 inputs take 4.0 KiB, 3.0 more than `input_buffer_kib`"):
        fpga.layer_estimate(layer, accelerator(input_buffer_kib=1))


def test_time_tiling_trades_traffic_for_time():
    small = accelerator(unroll={"of": 8, "ox": 2, "oy": 2})
    traffic, time = (fpga.layer_estimate(CONV, fpga.accelerator(small, tiling=x)) for x in ("traffic", "time"))
    # All six maps are one pass, so the least traffic is one tile: 2.60 + 2.88 + 3.84.
    assert (traffic.tiles, traffic.dram_bytes, traffic.latency_us) == (1, 644, pytest.approx(9.32))
    # Four tiles of rows read the rows at their seams twice: 96 bytes more, and 1.80 + 0.72 + 3 * 0.96 + 0.96 us.
    assert (time.tiles, time.dram_bytes) == (4, 740)
    assert time.latency_us == pytest.approx(1.80 + 0.72 + 0.96 + 0.96 + 0.96 + 0.96)
