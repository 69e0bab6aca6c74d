"""What must hold for every layer on every accelerator."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from tflite_export import fpga
from tflite_export.fpga.loops.layer import Layer

SETTINGS = settings(max_examples=120, deadline=None, derandomize=True)
BUFFERS = ("input_buffer_kib", "weight_buffer_kib", "output_buffer_kib")

kernels = st.sampled_from([1, 2, 3, 5])
factors = st.sampled_from([1, 2, 3, 4, 7, 8, 16])


@st.composite
def convolutions(draw):
    k, stride, padding = draw(kernels), draw(st.integers(1, 3)), draw(st.integers(0, 2))
    return Layer(
        "c",
        "conv",
        n_kx=k,
        n_ky=k,
        n_if=draw(st.integers(1, 40)),
        n_ox=draw(st.integers(1, 30)),
        n_oy=draw(st.integers(1, 30)),
        n_of=draw(st.integers(2, 40)),
        stride=(stride, stride),
        padding=((min(padding, k // 2),) * 2,) * 2,
        biases=0,
    )


@st.composite
def accelerators(draw, tiling="traffic"):
    return fpga.Accelerator(
        name="any",
        unroll={"of": draw(factors), "if": draw(st.sampled_from([1, 4])), "ox": draw(factors), "oy": draw(factors)},
        clock_mhz=100.0,
        weight_bits=draw(st.sampled_from([8, 16])),
        activation_bits=draw(st.sampled_from([8, 16])),
        dram_gb_per_s=draw(st.sampled_from([0.1, 1.0, 8.0])),
        input_buffer_kib=draw(st.sampled_from([128, 200, 1000])),
        weight_buffer_kib=draw(st.sampled_from([32, 64, 300])),
        output_buffer_kib=draw(st.sampled_from([48, 100])),
        tiling=tiling,
        tile_order=draw(st.sampled_from(["best", "maps", "rows"])),
        duplex=draw(st.booleans()),
    )


def estimate(layer, accelerator):
    """The estimate, or `None` where the layer fits no tile."""
    try:
        return fpga.layer_estimate(layer, accelerator)
    except ValueError:
        return None


@SETTINGS
@given(convolutions(), accelerators(), st.sampled_from(["of", "if", "ox", "oy"]), st.integers(1, 8))
def test_more_unrolling_never_takes_more_cycles(layer, accelerator, loop, more):
    unroll = dict(accelerator.unroll) | {loop: accelerator.unroll[loop] + more}
    before, after = estimate(layer, accelerator), estimate(layer, dataclasses.replace(accelerator, unroll=unroll))
    if before and after:
        assert after.cycles <= before.cycles
        assert after.cycles * accelerator.mac_units * (unroll[loop] / accelerator.unroll[loop]) >= layer.macs


@SETTINGS
@given(convolutions(), st.sampled_from(["traffic", "time"]).flatmap(accelerators), st.floats(1.0, 10.0))
def test_more_bandwidth_never_takes_more_time(layer, accelerator, factor):
    faster = dataclasses.replace(accelerator, dram_gb_per_s=accelerator.dram_gb_per_s * factor)
    before, after = estimate(layer, accelerator), estimate(layer, faster)
    if before:
        assert after.latency_us <= before.latency_us * (1 + 1e-12)


@SETTINGS
@given(convolutions(), accelerators(), st.sampled_from(BUFFERS), st.floats(1.0, 8.0))
def test_larger_buffers_never_move_more_bytes(layer, accelerator, buffer, factor):
    larger = dataclasses.replace(accelerator, **{buffer: getattr(accelerator, buffer) * factor})
    before, after = estimate(layer, accelerator), estimate(layer, larger)
    if before:
        assert after.dram_bytes <= before.dram_bytes


@SETTINGS
@given(convolutions(), accelerators("time"), st.sampled_from(BUFFERS), st.floats(1.0, 8.0))
def test_larger_buffers_never_take_more_time_when_time_is_chosen(layer, accelerator, buffer, factor):
    larger = dataclasses.replace(accelerator, **{buffer: getattr(accelerator, buffer) * factor})
    before, after = estimate(layer, accelerator), estimate(layer, larger)
    if before:
        assert after.latency_us <= before.latency_us * (1 + 1e-12)


@SETTINGS
@given(convolutions(), accelerators(), st.sampled_from(["n_of", "n_if"]), st.integers(1, 5))
def test_pruning_a_filter_never_raises_a_count(layer, accelerator, side, fewer):
    # The layer that loses an output map, or the next one, which loses an input map.
    pruned = dataclasses.replace(layer, **{side: max(1, getattr(layer, side) - fewer)})
    before, after = estimate(layer, accelerator), estimate(pruned, accelerator)
    if before:
        for count in ("macs", "cycles", "weight_bytes", "output_bytes", "dram_bytes"):
            if count == "weight_bytes" and before.tiles > 1 and accelerator.tile_order != "maps":
                continue  # Weights may be read again where that saves pixels.
            assert getattr(after, count) <= getattr(before, count), count


@SETTINGS
@given(convolutions(), accelerators())
def test_no_layer_is_faster_than_its_array_or_its_memory(layer, accelerator):
    row = estimate(layer, accelerator)
    if row:
        assert row.cycles * accelerator.mac_units >= layer.macs
        assert row.latency_us >= row.cycles / accelerator.clock_mhz * (1 - 1e-12)
        moved = row.weight_bytes + row.input_bytes
        assert row.latency_us * accelerator.bytes_per_us >= moved * (1 - 1e-12)
        assert row.weight_bytes >= layer.weights * accelerator.weight_bits / 8
        assert row.output_bytes == layer.output_elements * accelerator.activation_bits / 8
