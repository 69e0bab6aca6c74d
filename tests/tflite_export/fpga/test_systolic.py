"""Systolic arrays: beside the kept figures of SCALE-Sim, and worked by hand."""

import dataclasses
import json
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflite_export import fpga
from tflite_export.fpga.accelerators.systolic import DATAFLOWS, Systolic
from tflite_export.fpga.loops.layer import Layer
from tflite_export.fpga.resources import buffer_shapes

KEPT = pathlib.Path(__file__).parents[3] / "benchmarks" / "results" / "systolic.json"
# m = 5 * 4 = 20 pixels, k = 3 * 3 * 2 = 18 products a sum, n = 10 filters.
CONV = Layer("c", "conv", n_kx=3, n_ky=3, n_if=2, n_ox=5, n_oy=4, n_of=10)


def accelerator(array, **changes):
    fields = {
        "name": "systolic",
        "unroll": array,
        "clock_mhz": 100.0,
        "weight_bits": 8,
        "activation_bits": 8,
        "dram_gb_per_s": 1000.0,
        "dma_bits": 8192,
        "input_buffer_kib": 64,
        "weight_buffer_kib": 64,
        "output_buffer_kib": 64,
    }
    return fpga.Accelerator(**(fields | changes))


def test_cycles_and_reads_are_those_of_scalesim():
    kept = json.loads(KEPT.read_text())
    assert kept["scalesim_environment"]["scalesim"] == "3.0.0"
    assert len(kept["layers"]) >= 20
    assert {row["dataflow"] for row in kept["rows"]} == set(DATAFLOWS)
    for row in kept["rows"]:
        loops = {name: size for name, size in kept["layers"][row["layer"]].items() if name != "stride"}
        array = Systolic(row["rows"], row["columns"], row["dataflow"])
        # SCALE-Sim reports the number of the last cycle, counted from 0.
        assert [array.cycles(**loops) - 1, *array.reads(**loops)] == row["scalesim"], row


@pytest.mark.parametrize(
    "dataflow, cycles, reads",
    [
        # ceil(18 / 8) * ceil(10 / 4) = 9 folds of 8 cycles to load, 20 pixels and 8 + 4 - 2 to pass through. The
        # pixels are read for each of 3 folds of filters.
        ("weight_stationary", 9 * (8 + 20 + 10), (20 * 18 * 3, 18 * 10)),
        # ceil(20 / 8) * ceil(10 / 4) = 9 folds of 18 products and 10. The weights are read for each of 3 folds of
        # pixels.
        ("output_stationary", 9 * (18 + 10), (20 * 18 * 3, 18 * 10 * 3)),
        # ceil(18 / 8) * ceil(20 / 4) = 15 folds of 8 cycles to load, 10 filters and 10. The weights are read for each
        # of 5 folds of pixels.
        ("input_stationary", 15 * (8 + 10 + 10), (20 * 18, 18 * 10 * 5)),
    ],
)
def test_a_convolution_by_hand(dataflow, cycles, reads):
    row = fpga.layer_estimate(CONV, accelerator(Systolic(8, 4, dataflow), input_buffer_kib=32, weight_buffer_kib=8))
    assert row.cycles == cycles
    # 20 pJ for 64 bits from 32 KiB, 10 pJ from 8 KiB.
    assert row.buffer_mj == pytest.approx((reads[0] * 8 * 20 / 64 + reads[1] * 8 * 10 / 64) * 1e-9)


@pytest.mark.parametrize(
    "layer, cycles",
    [
        # Each of 6 maps is a product of 20 pixels, 9 products and one filter: 2 folds of 8 + 20 + 10.
        (Layer("d", "depthwise", n_kx=3, n_ky=3, n_ox=5, n_oy=4, n_of=6, groups=6), 6 * 2 * 38),
        # Two groups of 2 -> 5 maps, one after the other: ceil(18 / 8) * ceil(5 / 4) folds.
        (Layer("g", "conv", n_kx=3, n_ky=3, n_if=2, n_ox=5, n_oy=4, n_of=10, groups=2), 2 * 6 * 38),
        # One pixel: ceil(100 / 8) * ceil(10 / 4) folds of 8 + 1 + 10.
        (Layer("f", "fully_connected", n_if=100, n_of=10), 13 * 3 * 19),
        # The vector unit takes 4 maps a cycle: 4 positions, 20 pixels, ceil(6 / 4).
        (Layer("p", "pool", n_kx=2, n_ky=2, n_ox=5, n_oy=4, n_of=6, groups=6, stride=(2, 2)), 4 * 20 * 2),
        (Layer("a", "elementwise", n_ox=5, n_oy=4, n_of=6, groups=6), 20 * 2),
    ],
    ids=lambda x: getattr(x, "kind", ""),
)
def test_kinds_of_layers_by_hand(layer, cycles):
    assert fpga.layer_estimate(layer, accelerator(Systolic(8, 4, "weight_stationary"))).cycles == cycles


def test_each_tile_fills_and_drains_the_array():
    # A tile of T rows holds (T + 2) * 7 * 2 pixels: 42 for one row, 56 for two. Four tiles of one row, 5 pixels each:
    # 4 * 9 * (8 + 5 + 10) cycles.
    row = fpga.layer_estimate(CONV, accelerator(Systolic(8, 4, "weight_stationary"), input_buffer_kib=50 / 1024))
    assert (row.tile_rows, row.tiles, row.cycles) == (1, 4, 828)


def test_a_larger_array_can_take_more_cycles():
    small, large = (Systolic(size, size, "weight_stationary").cycles(n_if=4, n_ox=4, n_of=4) for size in (4, 32))
    # One fold either way: 2 * 4 + 4 + 4 - 2, and 2 * 32 + 32 + 4 - 2.
    assert (small, large) == (14, 98)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(DATAFLOWS)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(*[st.integers(1, 40)] * 3),
    st.integers(0, 2),
)
def test_no_layer_beats_the_array_and_a_smaller_one_is_never_slower(dataflow, size, loops, loop):
    array = Systolic(*size, dataflow)
    smaller = [max(1, n - 1) if i == loop else n for i, n in enumerate(loops)]
    (cycles, reads), (fewer, fewer_reads) = (
        (array.cycles(n_if=k, n_ox=m, n_of=n), array.reads(n_if=k, n_ox=m, n_of=n)) for m, k, n in (loops, smaller)
    )
    m, k, n = loops
    assert cycles * array.units >= m * k * n
    assert reads[0] >= m * k
    assert reads[1] >= k * n
    assert fewer <= cycles
    assert all(a <= b for a, b in zip(fewer_reads, reads, strict=True))


arrays = st.builds(Systolic, st.integers(1, 20), st.integers(1, 20), st.sampled_from(sorted(DATAFLOWS)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(arrays, st.tuples(*[st.integers(1, 24)] * 4), st.sampled_from([0.1, 1.0, 8.0]), st.floats(1.0, 8.0))
def test_more_bandwidth_takes_no_more_time_and_larger_buffers_move_no_more_bytes(array, sizes, dram_gb_per_s, factor):
    n_if, n_ox, n_oy, n_of = sizes
    layer = Layer("c", "conv", n_kx=3, n_ky=3, n_if=n_if, n_ox=n_ox, n_oy=n_oy, n_of=n_of)
    mine = accelerator(array, dram_gb_per_s=dram_gb_per_s, input_buffer_kib=4, weight_buffer_kib=8)
    faster = dataclasses.replace(mine, dram_gb_per_s=dram_gb_per_s * factor)
    larger = dataclasses.replace(mine, input_buffer_kib=4 * factor)
    before, after, roomier = (fpga.layer_estimate(layer, each) for each in (mine, faster, larger))
    assert after.latency_us <= before.latency_us * (1 + 1e-12)
    assert roomier.dram_bytes <= before.dram_bytes
    assert before.cycles * array.units >= layer.macs


@pytest.mark.parametrize("dataflow, widths", [("weight_stationary", (96, 80)), ("input_stationary", (40, 192))])
def test_buffers_are_as_wide_as_the_edges_of_the_array(dataflow, widths):
    # 12 rows and 5 columns. Pixels of 8 and weights of 16 bits enter at the edge that their loop lies along.
    mine = accelerator(Systolic(12, 5, dataflow), weight_bits=16, dma_bits=8)
    shapes = buffer_shapes(mine)
    assert tuple(width for width, _ in shapes[:2]) == widths
    # 60 MAC units of 8 by 16 bits, one DSP48E2 each.
    assert fpga.resources(mine, fpga.device("zu9eg")).dsp == 60


def test_a_whole_network():
    rows = (CONV, Layer("f", "fully_connected", n_if=200, n_of=10))
    estimate = fpga.estimate(rows, accelerator(Systolic(8, 4, "weight_stationary")), device="zu9eg")
    assert estimate.accelerator.mac_units == 32
    # 20 * 18 * 10 + 2000 products in 9 * 38 and 25 * 3 * 19 cycles.
    assert estimate.utilisation == pytest.approx(5600 / (32 * (342 + 1425)))
    array = {"rows": 8, "columns": 4, "dataflow": "weight_stationary"}
    assert json.loads(json.dumps(estimate.to_json()))["accelerator"]["unroll"] == array
    assert "32 MAC units" in str(estimate)


def test_it_is_a_value():
    assert Systolic(8, 4, "weight_stationary") == Systolic(8, 4, "weight_stationary")
    assert len({accelerator(Systolic(8, 4, x)) for x in sorted(DATAFLOWS) * 2}) == 3


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0, 4, "weight_stationary"), "`rows` must be a positive int. Received: rows=0"),
        ((4, 4.0, "weight_stationary"), "`columns` must be a positive int. Received: columns=4.0"),
        ((True, 4, "weight_stationary"), "`rows` must be a positive int. Received: rows=True"),
        ((4, 4, "ws"), "one of weight_stationary, output_stationary, input_stationary. Received: dataflow='ws'"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Systolic(*arguments)


def test_another_rate_of_results_is_refused():
    with pytest.raises(ValueError, match="must be None with a systolic array.*Received: output_words_per_cycle=4"):
        accelerator(Systolic(4, 4, "weight_stationary"), output_words_per_cycle=4)
