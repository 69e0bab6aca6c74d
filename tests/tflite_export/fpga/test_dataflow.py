"""Streaming dataflows: beside FINN's own figures, worked by hand, and folded."""

import copy
import dataclasses
import itertools
import json
import math

import pytest

from tflite_export import fpga
from tflite_export.fpga.accelerators.dataflow import Dataflow, fold
from tflite_export.fpga.accelerators.engine import Engine, place_memories
from tflite_export.fpga.loops.layer import Layer

CONV = Layer("conv", "conv", n_kx=3, n_ky=3, n_if=2, n_ox=8, n_oy=8, n_of=6, padding=((1, 1), (1, 1)), biases=6)
POOL = Layer("pool", "pool", n_kx=2, n_ky=2, n_ox=4, n_oy=4, n_of=6, groups=6, stride=(2, 2))
DENSE = Layer("dense", "fully_connected", n_if=96, n_of=10)
CHAIN = (CONV, POOL, Layer("join", "concat", n_ox=4, n_oy=4, n_of=6, groups=6), DENSE)
FOLDING = {"conv": (3, 6), "pool": (2, 1), "dense": (10, 1)}


def dataflow(**changes):
    fields = {"name": "mine", "clock_mhz": 100.0, "weight_bits": 8, "activation_bits": 8, "folding": FOLDING}
    return Dataflow(**(fields | changes))


def engine(layer, pe=1, simd=1):
    return Engine(layer, pe, simd, weight_bits=8, activation_bits=8, logic_multipliers=False)


def device(**changes):
    return dataclasses.replace(fpga.device("zu9eg"), **changes)


def dense(name, n_if, n_of):
    return Layer(name, "fully_connected", n_if=n_if, n_of=n_of)


def conv(name, n_if, size, n_of):
    return Layer(name, "conv", n_kx=3, n_ky=3, n_if=n_if, n_ox=size, n_oy=size, n_of=n_of)


def pool(name, size, maps):
    return Layer(name, "pool", n_kx=2, n_ky=2, n_ox=size, n_oy=size, n_of=maps, groups=maps, stride=(2, 2))


def test_finns_estimate_of_its_cybersecurity_example():
    # 600-64-64-64-1 with 2-bit weights at 100 MHz. FINN: at most 64 cycles, critical path 252, 1,562,500 frames a
    # second, 45 BRAM18. Its simulation of the circuit takes 213 cycles for a frame.
    layers = (dense("0", 600, 64), dense("1", 64, 64), dense("2", 64, 64), dense("3", 64, 1))
    folding = {"0": (16, 40), "1": (1, 64), "2": (1, 64)}
    mine = Dataflow("cybersecurity", 100.0, 2, 2, folding, multipliers="logic", device="xc7z020")
    estimate = fpga.estimate(layers, mine)
    assert [row.cycles for row in estimate.layers] == [60, 64, 64, 64]
    assert estimate.latency_ms == pytest.approx(252e-5)
    assert estimate.frames_per_second == pytest.approx(1_562_500)
    assert estimate.bram == 45 / 2
    # FINN has 1217 LUT for the second engine, of which 1.1 * 2 * 30 compare with the thresholds of its activation.
    assert mine.engines(layers)[1].lut == pytest.approx(1217.4 - 66)


def test_finns_cnv():
    # CNV with 1-bit weights and activations and the folding of FINN's examples. The intervals of its layers are
    # (MH / PE) * (MW / SIMD) * pixels by hand. Synthesised without its shell: 21,135 LUT, 98 BRAM36 and 9 BRAM18
    # (FINN, pull request 209), with FIFOs, which are not counted here.
    layers = (
        *(conv("0", 3, 30, 64), conv("1", 64, 28, 64), pool("p", 14, 64), conv("2", 64, 12, 128)),
        *(conv("3", 128, 10, 128), pool("q", 5, 128), conv("4", 128, 3, 256), conv("5", 256, 1, 256)),
        *(dense("6", 256, 512), dense("7", 512, 512), dense("8", 512, 10)),
    )
    pairs = ((16, 3), (32, 32), (16, 32), (16, 32), (4, 32), (1, 32), (1, 4), (1, 8), (5, 1))
    folding = {str(i): pair for i, pair in enumerate(pairs)} | {"p": (64, 1), "q": (128, 1)}
    mine = Dataflow("cnv", 100.0, 1, 1, folding, multipliers="logic", device="xc7z020")
    estimate = fpga.estimate(layers, mine)
    cycles = [row.cycles for row in estimate.layers if row.macs]
    assert cycles == [32400, 28224, 20736, 28800, 20736, 18432, 32768, 32768, 1024]
    assert estimate.interval_ms == pytest.approx(0.32768)
    assert estimate.lut == pytest.approx(21135, rel=estimate.lut_error)
    assert estimate.bram == pytest.approx(98 + 9 / 2, rel=0.25)


def test_a_chain_by_hand():
    estimate = fpga.estimate(CHAIN, dataflow(), device="zu9eg")
    # 6/3 * 18/6 * 64, 6/2 * 4 * 16 and 10/10 * 96.
    assert [row.cycles for row in estimate.layers] == [384, 192, 0, 96]
    assert [row.bound for row in estimate.layers] == ["interval", "compute", "", "compute"]
    assert (estimate.interval_ms, estimate.frames_per_second) == (pytest.approx(384e-5), pytest.approx(1e8 / 384))
    # The pooling starts with 10 of the 64 pixels, 60 cycles after the convolution, and ends one of its 16 pixels, 12
    # cycles, after the convolution's 384. Then all 96 inputs are there.
    assert estimate.latency_ms == pytest.approx((384 + 12 + 96) * 1e-5)
    # Only the input and the output pass through the memory.
    assert [(row.weight_bytes, row.input_bytes, row.output_bytes) for row in estimate.layers] == [
        (0, 128, 0),
        (0, 0, 0),
        (0, 0, 0),
        (0, 0, 10),
    ]
    assert estimate.dram_energy_mj == pytest.approx(138 * 8 * 70e-9)
    # 6912 + 960 products in 384 cycles of 18 + 10 multipliers.
    assert (estimate.utilisation, estimate.efficiency) == (pytest.approx(7872 / (384 * 28)),) * 2
    assert estimate.peak_gops == pytest.approx(2 * 28 * 0.1)


def test_an_engine_by_hand():
    mine = engine(CONV, pe=3, simd=6)
    # 108 weights, 18 a cycle; two rows of 8 pixels and 2 zeros and three pixels more, in 2 maps, six a cycle.
    assert mine.memories == ((18 * 8, 6), (6 * 8, 8))
    # Each reads a word a cycle; both are smaller than 1 KiB, where a bit takes less than at 8 KiB.
    assert 0 < mine.buffer_mj < 384 * (144 + 48) * 10 / 64 * 1e-9
    # Twice 300, and three elements of 16 bits with an adder tree of 2 * 6 - 1 and an accumulator of 16 + 5.
    assert mine.lut == pytest.approx(600 + 1.1 * 3 * (16 * 11 + 21))
    used = fpga.estimate((CONV,), dataflow(folding={"conv": (3, 6)}), device="zu9eg").resources
    # Two 8-bit products a DSP48E2; four BRAM18 of 36 bits and two.
    assert (used.dsp, used.bram, used.lut, used.logic_macs) == (9, 3, 1251, 0)
    logic = fpga.estimate((CONV,), dataflow(folding={"conv": (3, 6)}, multipliers="logic"), device="zu9eg").resources
    # A product of 8 by 8 bits takes (2 * ceil(16 / 6) - 1) * 16 LUT.
    assert (logic.dsp, logic.lut, logic.logic_macs) == (0, math.ceil(1250.1 + 1.1 * 18 * 80), 18)


@pytest.mark.parametrize(
    "layer, pe, simd, cycles",
    [
        (Layer("d", "depthwise", n_kx=3, n_ky=3, n_ox=5, n_oy=4, n_of=6, groups=6), 2, 3, 3 * 3 * 20),
        # Two groups: six output maps, 9 * 2 products each.
        (Layer("g", "conv", n_kx=3, n_ky=3, n_if=2, n_ox=5, n_oy=4, n_of=6, groups=2), 3, 9, 2 * 2 * 20),
        (Layer("a", "elementwise", n_ox=5, n_oy=4, n_of=6, groups=6, operands=2), 3, 1, 2 * 20),
        (Layer("u", "upsample", n_ox=8, n_oy=8, n_of=6, n_ix=4, n_iy=4, groups=6), 2, 1, 3 * 64),
        # 4 * 4 windows of one pixel; the input of 8 * 8 * 8 takes longer to come in, 4 a cycle.
        (Layer("s", "conv", n_if=8, n_ox=4, n_oy=4, n_of=8, n_ix=8, n_iy=8, stride=(2, 2)), 8, 4, 128),
    ],
    ids=lambda x: getattr(x, "kind", ""),
)
def test_cycles_of_other_layers(layer, pe, simd, cycles):
    assert engine(layer, pe, simd).cycles == cycles


def test_a_pooling_of_the_whole_map_holds_no_rows():
    whole = Layer("p", "pool", n_kx=8, n_ky=8, n_of=4, groups=4)
    assert (engine(whole).memories, engine(whole).lut) == ((), 300)
    # One row of 8 pixels and two pixels more, of 6 maps.
    assert engine(POOL).memories == ((8, 10 * 6),)


def test_large_memories_move_to_ultraram():
    # 8 bits by 2^20 words: 512 BRAM18 of 2048 words; nine words share a row, so 116509 rows in 29 blocks of 4096.
    shapes = ((8, 2**20), (36, 512))
    assert place_memories(shapes, device(block_ram=400, uram=100)) == (256.5, 0)
    assert place_memories(shapes, device(block_ram=200, uram=100)) == (0.5, 29)
    assert place_memories(shapes, device(block_ram=200, uram=28)) == (256.0, 1)


def test_folding_fills_the_device_and_no_more():
    small = device(dsp=40)
    for routable, dsp in ((True, 32), (False, 40)):
        folded = fold(CHAIN, dataflow(), small, routable)
        assert folded == fold(CHAIN, dataflow(folding={}), small, routable)
        estimate = fpga.estimate(CHAIN, folded, small)
        assert estimate.fits
        assert bool(estimate.resources.warnings) <= (not routable)
        assert dsp / 2 < estimate.dsp <= dsp


@pytest.mark.parametrize("dsp", [2, 5, 9, 16, 30])
def test_folding_finds_the_best_interval_of_a_small_network(dsp):
    layers, small = (CONV, DENSE), device(dsp=dsp)
    options = [[(pe, simd) for pe in (1, 2, 3, 6) for simd in (1, 2, 3, 6, 9, 18)]]
    options += [[(pe, simd) for pe in (1, 2, 5, 10) for simd in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96)]]
    # Two products a block; a product each of 6 * 18 * 64 and 10 * 96.
    best = min(
        max(6 * 18 * 64 / (a * b), 960 / (c * d))
        for (a, b), (c, d) in itertools.product(*options)
        if -(-a * b // 2) + -(-c * d // 2) <= dsp
    )
    folded = fold(layers, dataflow(), small, routable=False)
    assert fpga.estimate(layers, folded, small).interval_ms == pytest.approx(best * 1e-5)


def test_folding_ends_where_the_slowest_layer_is_unfolded():
    folded = fold((CONV, DENSE), dataflow(), device(dsp=10**6, logic=10**9, block_ram=10**6))
    assert folded.folding["conv"] == (6, 18)
    # 64 cycles, so the dense layer needs 15 multipliers; 16 is the first step that has them.
    pe, simd = folded.folding["dense"]
    assert 15 <= pe * simd <= 20


def test_a_layer_that_is_called_twice_has_two_engines():
    folded = fold((CONV, dataclasses.replace(CONV, n_oy=4)), dataflow(), device(dsp=20), routable=False)
    estimate = fpga.estimate((CONV, dataclasses.replace(CONV, n_oy=4)), folded, device(dsp=20))
    # Twice 18 products are twice 9 blocks; the next step, 27, would take 28.
    assert (folded.folding["conv"] in ((1, 18), (2, 9), (3, 6), (6, 3)), estimate.dsp) == (True, 18)


def test_a_network_that_does_not_fit():
    with pytest.raises(ValueError, match="does not fit zu9eg.*DSP: 2 of 1, 1 too many.*Received: device='zu9eg'"):
        fold(CHAIN, dataflow(), device(dsp=1))
    estimate = fpga.estimate(CHAIN, dataflow(), device(dsp=1))
    assert not estimate.fits


def test_json_and_table():
    estimate = fpga.estimate(CHAIN, dataflow(), device="zu9eg")
    data = json.loads(json.dumps(estimate.to_json()))
    assert data["accelerator"]["folding"] == {"conv": [3, 6], "pool": [2, 1], "dense": [10, 1]}
    assert data["frames_per_second"] == estimate.frames_per_second
    assert f"interval     {estimate.interval_ms:.3f} ms" in str(estimate)
    assert "28 MAC units at 100 MHz" in str(estimate)


def test_frames_of_one_engine_do_not_overlap():
    estimate = fpga.estimate(CHAIN, "dpu_b512_zcu102")
    assert estimate.interval_ms == estimate.latency_ms
    assert estimate.frames_per_second == pytest.approx(1e3 / estimate.latency_ms)
    assert "interval" not in str(estimate)


def test_it_is_a_value():
    folding = dict(FOLDING)
    mine = dataflow(folding=folding)
    folding["conv"] = (1, 1)
    assert mine.folding["conv"] == (3, 6)
    assert {mine, copy.deepcopy(mine)} == {dataflow()}
    with pytest.raises(dataclasses.FrozenInstanceError):
        mine.clock_mhz = 1.0


@pytest.mark.parametrize(
    "folding, message",
    [
        ({"conv": (4, 1)}, "`pe` of layer 'conv' must divide 6: one of 1, 2, 3, 6. Received: pe=4"),
        ({"conv": (1, 4)}, "`simd` of layer 'conv' must divide 18: one of 1, 2, 3, 6, 9, 18. Received: simd=4"),
        ({"first": (1, 1)}, "'first', which is no layer of the network; the layers are conv, dense, pool. Received: f"),
    ],
)
def test_a_folding_that_is_not_the_networks(folding, message):
    with pytest.raises(ValueError, match=message):
        fpga.estimate(CHAIN, dataflow(folding=folding), device="zu9eg")


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("clock_mhz", 0, "`clock_mhz` must be a positive number"),
        ("weight_bits", 1.5, "`weight_bits` must be a positive int"),
        ("folding", {"conv": (1, 0)}, r"`folding\['conv'\]` must be \(PE, SIMD\), two positive ints"),
        ("folding", {"conv": 4}, r"`folding\['conv'\]` must be \(PE, SIMD\)"),
        ("multipliers", "lut", "`multipliers` must be one of dsp, logic"),
        ("dram_type", "ddr9", "`dram_type` must be one of ddr3, "),
        ("dram_pj_per_bit", -1, "`dram_pj_per_bit` must be at least 0, or None"),
    ],
)
def test_a_wrong_field_is_named(field, value, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: {field}"):
        dataflow(**{field: value})


def test_a_folding_that_is_no_dict():
    with pytest.raises(TypeError, match="`folding` must be a dict.*Received: folding=4"):
        dataflow(folding=4)
