"""The search for a design, beside an estimate of every design in turn."""

import dataclasses
import itertools
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgap_keras import zoo
from tflite_export import fpga
from tflite_export.fpga.design.explore import explore
from tflite_export.fpga.design.fit import Fit
from tflite_export.fpga.loops.layer import Layer

BUFFERS = ("input_buffer_kib", "weight_buffer_kib", "output_buffer_kib")
LOOPS = ("of", "oy", "oxy", "if", "ox", "kx", "ky")
# Block RAM only; UltraRAM; M20K; a memory controller in logic.
DEVICES = ("xc7z020", "k26", "stratixv_gxa7", "xcvu9p")
BASE = fpga.Accelerator(
    name="base",
    unroll={"of": 3, "ox": 5},
    clock_mhz=100.0,
    weight_bits=8,
    activation_bits=8,
    dram_gb_per_s=0.2,
    input_buffer_kib=1,
    weight_buffer_kib=1,
    output_buffer_kib=1,
)
CONV = Layer("c", "conv", n_kx=3, n_ky=3, n_if=8, n_ox=16, n_oy=16, n_of=16, padding=((1, 1), (1, 1)), biases=16)


def every_design(work, device, base, space, share):
    """`(latency, energy, share), (DSP, RAM, UltraRAM), accelerator` of each design that fits, one by one."""
    names = (*LOOPS, *BUFFERS)
    for values in itertools.product(*(space.get(name, [1]) for name in names)):
        design = dict(zip(names, values, strict=True))
        if design["oxy"] > 1 and design["ox"] * design["oy"] > 1:
            continue
        unroll = {loop: design[loop] for loop in LOOPS if design[loop] > 1}
        accelerator = fpga.accelerator(base, unroll=unroll, **{name: design[name] for name in BUFFERS})
        used, chip = fpga.resources(accelerator, fpga.device(device)), fpga.device(device)
        needs = (used.dsp / chip.dsp, used.lut / chip.logic, used.bram / chip.block_ram, used.uram / max(1, chip.uram))
        if max(needs) > share:
            continue
        try:
            found = fpga.estimate(work, accelerator, device)
        except ValueError:
            continue
        costs = (round(found.latency_ms, 9), found.dram_energy_mj, max(needs))
        yield costs, (used.dsp, used.bram, used.uram), accelerator


def unbeaten(designs):
    """The costs of the designs that no other beats, by comparing each with each."""
    costs = {cost for cost, _, _ in designs}
    return sorted(
        mine
        for mine in costs
        if not any(all(a <= b for a, b in zip(x, mine, strict=True)) and x != mine for x in costs)
    )


@st.composite
def layers(draw):
    kind = draw(st.sampled_from(["conv", "conv", "conv", "depthwise", "pool", "elementwise", "fully_connected"]))
    size, maps = draw(st.integers(1, 12)), draw(st.integers(1, 20))
    if kind == "fully_connected":
        return Layer("f", kind, n_if=draw(st.integers(1, 3000)), n_of=maps, biases=maps)
    if kind == "elementwise":
        return Layer("e", kind, n_ox=size, n_oy=size, n_of=maps, groups=maps, operands=2)
    groups = maps if kind != "conv" else draw(st.sampled_from([1, 1, 2]))
    k, stride = draw(st.sampled_from([1, 3])), draw(st.integers(1, 2))
    return Layer(
        "w",
        kind,
        n_kx=k,
        n_ky=k,
        n_if=draw(st.integers(1, 20)) if kind == "conv" else 1,
        n_ox=size,
        n_oy=draw(st.integers(1, 12)),
        n_of=maps * groups if kind == "conv" else maps,
        stride=(stride, stride),
        padding=((k // 2, k // 2),) * 2,
        groups=groups,
        biases=draw(st.sampled_from([0, maps])),
    )


@st.composite
def spaces(draw):
    factors = st.lists(st.sampled_from([1, 2, 3, 4, 7, 16]), min_size=1, max_size=2, unique=True)
    loops = draw(
        st.sampled_from([("of", "oy", "if", "ox"), ("of", "ox", "kx"), ("of", "if", "oxy"), ("oxy", "ox", "ky")])
    )
    space = dict.fromkeys(("of", "if", "ox", "oy"), [1]) | {loop: draw(factors) for loop in loops}
    space |= {loop: {1, *space[loop]} for loop in ("ox", "oy")} if "oxy" in loops else {}
    kib = st.lists(st.sampled_from([0.05, 0.3, 1, 4.5, 60, 600]), min_size=1, max_size=3, unique=True)
    return space | {name: draw(kib) for name in BUFFERS}


@st.composite
def bases(draw):
    return fpga.accelerator(
        BASE,
        output_words_per_cycle=draw(st.sampled_from([None, None, 2])),
        tiling=draw(st.sampled_from(["traffic", "time"])),
        tile_order=draw(st.sampled_from(["best", "maps", "rows"])),
        duplex=draw(st.booleans()),
        dram_type=draw(st.sampled_from(["ddr3", "ddr3_core"])),
        dram_gb_per_s=draw(st.sampled_from([0.02, 0.2, 2.0])),
        layer_overhead_us=draw(st.sampled_from([0.0, 3.0])),
        compute_efficiency=draw(st.sampled_from([1.0, 0.9])),
        logic_macs=draw(st.booleans()),
        depthwise_unroll=draw(st.sampled_from([None, {"of": 4, "ox": 2}])),
        fully_connected_unroll=draw(st.sampled_from([None, {"of": 4}])),
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(layers(), min_size=1, max_size=3),
    spaces(),
    bases(),
    st.sampled_from(DEVICES),
    st.sampled_from(["latency", "energy"]),
    st.sampled_from([1.0, 0.5]),
)
def test_the_search_finds_what_estimating_every_design_finds(work, space, base, device, objective, share):
    designs = list(every_design(work, device, base, space, share))
    if not designs:
        with pytest.raises(ValueError, match="No design of the space"):
            explore(work, device, base, objective, share, space, tiling=base.tiling)
        return
    found = explore(work, device, base, objective, share, space, tiling=base.tiling)
    column = ("latency", "energy").index(objective)
    least, ties = min((costs[column], sizes) for costs, sizes, _ in designs)
    best = [accelerator for costs, sizes, accelerator in designs if (costs[column], sizes) == (least, ties)]
    # Latencies are compared to a picosecond.
    assert found.best in [dataclasses.replace(x, name=found.best.name, device=device) for x in best]
    assert (found.estimate.latency_ms, found.estimate.dram_energy_mj)[column] == pytest.approx(least, abs=1.1e-9)
    assert found.estimated == len(designs)
    front = [(x.latency_ms, x.dram_energy_mj, x.resource_share) for x in found.front]
    assert front == [pytest.approx(x, rel=1e-12, abs=1.1e-9) for x in unbeaten(designs)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("bits", [(8, 8, False), (16, 8, False), (32, 32, True)])
def test_resources_of_many_designs_are_those_of_each(device, bits):
    rng, chip = np.random.default_rng(0), fpga.device(device)
    weight_bits, activation_bits, floating_point = bits
    base = fpga.accelerator(
        BASE, weight_bits=weight_bits, activation_bits=activation_bits, floating_point=floating_point, logic_macs=True
    )
    # From a few words to more than any of the devices has.
    sizes = [sorted(float(x) for x in 10 ** rng.uniform(-1, 4.3, 4)) for _ in BUFFERS]
    unrolls = [{loop: int(rng.integers(1, 12)) for loop in ("of", "if", "ox", "kx")} for _ in range(6)]
    fit, arrays = Fit(base, chip, sizes), [fpga.accelerator(base, unroll=unroll) for unroll in unrolls]
    bram, uram = fit.memory(arrays)
    for i, (unroll, array) in enumerate(zip(unrolls, arrays, strict=True)):
        for j, kib in enumerate(itertools.product(*sizes)):
            used = fpga.resources(fpga.accelerator(array, **dict(zip(BUFFERS, kib, strict=True))), chip)
            assert fit.array(unroll) == (used.dsp, max(used.dsp / chip.dsp, used.lut / chip.logic))
            assert (bram[i, j], uram[i, j]) == (used.bram, used.uram)
    assert (uram.max() > 0) == (chip.uram > 0)


def test_the_array_is_as_large_as_the_device_allows():
    # One 8-bit MAC a DSP slice: 8 * 16 units fit the 220 of a XC7Z020, 16 * 16 do not; at half of it 8 * 8 do.
    space = {"of": [8, 16], "if": [1], "ox": [8, 16], "oy": [1]} | dict.fromkeys(BUFFERS, [16])
    whole, half = (explore((CONV,), "xc7z020", BASE, share=share, space=space) for share in (1.0, 0.5))
    assert (whole.estimate.dsp, half.estimate.dsp) == (128, 64)
    assert (whole.considered, whole.too_large, half.too_large) == (4, 1, 3)
    # 9 * 8 cycles for each row and 8 of its pixels at once, or all 16: 9 * 8 * 16 * (2 * 2 or 1 * 2 or 2 * 1).
    assert [row.cycles for row in half.estimate.layers] == [9 * 8 * 16 * 4]
    assert [row.cycles for row in whole.estimate.layers] == [9 * 8 * 16 * 2]


def test_energy_takes_the_buffers_that_read_everything_once():
    # 8 maps of 16 x 16 pixels take 2 KiB, 2.53 with their zeros; 9 * 8 * 16 weights 1.125 KiB. Where a tile holds all
    # the rows, pixels and weights are read once: 2048 + 1152 + 4 * 16 bytes, and 4096 are written.
    space = {"of": [4], "if": [1], "ox": [4], "oy": [4]}
    space |= {"input_buffer_kib": [1.5, 2.6, 3], "weight_buffer_kib": [0.3, 0.6], "output_buffer_kib": [1, 4]}
    found = explore((CONV,), "xc7z020", BASE, "energy", space=space)
    assert found.estimate.dram_bytes == 2048 + 1152 + 64 + 4096
    assert found.estimate.dram_energy_mj == pytest.approx((2048 + 1152 + 64 + 4096) * 8 * 70e-9)
    assert found.best.input_buffer_kib == 2.6


def test_tiles_suit_the_objective():
    # The layer of `test_time_tiling_trades_traffic_for_time`, where both are worked out: 100 bytes a microsecond.
    layer = Layer("c", "conv", n_kx=3, n_ky=3, n_if=2, n_ox=8, n_oy=8, n_of=6, padding=((1, 1), (1, 1)), biases=6)
    base = fpga.accelerator(BASE, dram_gb_per_s=0.1, dram_efficiency=1.0, descriptor_gap_bytes=0)
    space = {"of": [8], "if": [1], "ox": [2], "oy": [2]} | dict.fromkeys(BUFFERS, [64])
    found = [
        explore((layer,), "zu9eg", base, *arguments, space=space, **fields).estimate
        for arguments, fields in (((), {}), (("energy",), {}), ((), {"tiling": "traffic"}))
    ]
    assert [x.dram_bytes for x in found] == [740, 644, 644]
    assert [1e3 * x.latency_ms for x in found] == pytest.approx([1.80 + 0.72 + 4 * 0.96, 9.32, 9.32])


@pytest.fixture(scope="module")
def resnet110():
    return fpga.workload(zoo.resnet110())


def test_it_goes_through_50_000_designs_a_second(resnet110):
    def speed():
        start = time.perf_counter()
        found = explore(resnet110, "zu9eg")
        return found.considered / (time.perf_counter() - start)

    # The better of two, so that another process does not decide. About 350,000 a second of processor time.
    assert max(speed() for _ in range(2)) > 50_000


def test_the_table_and_the_json_say_what_was_found(resnet110):
    found = explore(resnet110, "zu9eg", share=0.5, space={"of": [8, 16, 32], "if": [4, 16]}, clock_mhz=300.0)
    assert found.estimate.resources.dsp <= 0.5 * 2520
    assert found.best.clock_mhz == 300.0
    assert set(found.best.unroll) >= {"of", "if"}
    assert found.best.name == found.front[0].accelerator.name
    assert found.considered == found.too_large + found.untileable + found.estimated
    data = json.loads(json.dumps(found.to_json()))
    assert data["estimate"]["latency_ms"] == found.estimate.latency_ms
    assert [row["latency_ms"] for row in data["front"]] == [x.latency_ms for x in found.front]
    assert data["front"][0]["accelerator"]["unroll"] == dict(found.best.unroll)
    lines = str(found).splitlines()
    assert lines[0].startswith(f"{found.considered} designs: {found.too_large} take more than 50% of the device")
    assert any(line.endswith(found.best.name) for line in lines)
    assert f"latency      {found.estimate.latency_ms:.3f} ms" in str(found)


def test_each_point_of_the_front_is_the_estimate_of_its_design(resnet110):
    found = explore(
        resnet110, "k26", "dpu_b512_kv260", tiling="traffic", space={"of": [4, 32], "ox": [1, 8], "oy": [1], "if": [8]}
    )
    for design in (found.front[0], found.front[len(found.front) // 2], found.front[-1]):
        row = fpga.estimate(resnet110, design.accelerator)
        assert (row.dsp, row.bram, row.resources.uram) == (design.dsp, design.bram, design.uram)
        assert row.dram_energy_mj == pytest.approx(design.dram_energy_mj)
        assert row.latency_ms == pytest.approx(design.latency_ms, abs=1.1e-9)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"device": "arria"}, "`device` must be one of alveo_u250.*Received: device='arria'"),
        ({"accelerator": "ma"}, "`accelerator` must be one of .*Received: accelerator='ma'"),
        (
            {"accelerator": fpga.Dataflow(name="flow", clock_mhz=100.0, weight_bits=4, activation_bits=4)},
            "must be an `Accelerator`.*Received: accelerator='flow'",
        ),
        ({"objective": "area"}, "`objective` must be one of latency, energy. Received: objective='area'"),
        ({"share": 1.2}, "`share` must be above 0 and at most 1. Received: share=1.2"),
        ({"space": {"maps": [4]}}, "unknown entry 'maps'; known are of, if, .*output_buffer_kib. Received: space="),
        ({"space": {"of": [4.0]}}, r"`space\['of'\]` must be a sequence of positive ints. Received: space="),
        ({"space": {"of": []}}, r"`space\['of'\]` must be a sequence"),
        ({"space": {"input_buffer_kib": 64}}, r"`space\['input_buffer_kib'\]` must be .*positive numbers, in KiB"),
        ({"space": {"ox": [2], "oxy": [4]}}, "must allow 1 for `oxy`, or for `ox` and `oy`. Received: space="),
        ({"unroll": {"of": 4}}, "`unroll` is what is searched; give `space` its candidates. Received: unroll="),
        ({"clock_mhz": 0}, "`clock_mhz` must be a positive number"),
        ({"accelerator": None, "device": "zu3eg"}, "or an `accelerator` must be given. Received: device='zu3eg'"),
        ({"model": (Layer("s", "host"),)}, "`model` must have a layer that runs on the accelerator. Received: model="),
        # 64 * 64 slices of 220.
        (
            {"space": {"of": [64], "ox": [64]} | dict.fromkeys(BUFFERS, [64])},
            "the smallest, of64_ox64_64_64_64kib, takes DSP 4096 of 220, 3876 too many; LUT .*Received: device=",
        ),
        # A tile of one row: 3 * 18 * 8 pixels.
        (
            {"space": {"input_buffer_kib": [0.25], "weight_buffer_kib": [64]}},
            "holds every layer.*Layer 'c'.*`input_buffer_kib` needs 0.4 KiB and has 0.25, 0.2 too few",
        ),
        # The device has 140 blocks of 4.5 KiB; 400 KiB are built twice.
        (
            {"space": dict.fromkeys(BUFFERS, [64]) | {"input_buffer_kib": [0.05, 400]}},
            "both fits and holds every layer.*400_64_64kib would. .*Received: device='xc7z020', share=1.0",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    arguments = {"model": (CONV,), "device": "xc7z020", "accelerator": BASE} | arguments
    with pytest.raises(ValueError, match=message):
        explore(**arguments)
