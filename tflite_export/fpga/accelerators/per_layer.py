"""What one layer costs on an accelerator."""

import dataclasses
import functools
import math

import numpy as np

from tflite_export.fpga import energy
from tflite_export.fpga.accelerators.pipeline import stage_us
from tflite_export.fpga.accelerators.tiling import tile_loops, tiles_of
from tflite_export.fpga.loops.layer import FREE_KINDS


@dataclasses.dataclass(frozen=True)
class LayerEstimate:
    """What one layer costs.

    Attributes:
        name: The layer's name.
        kind: Its kind, as in `Layer`.
        macs: Its multiply-accumulates.
        cycles: Cycles in which the array (or the pooling unit) is busy with it.
        weight_bytes: Bytes of weights read from DRAM.
        input_bytes: Bytes of feature maps read from DRAM.
        output_bytes: Bytes of feature maps written to DRAM.
        descriptors: Separate DRAM transfers.
        latency_us: Its time in microseconds, overhead included.
        bound: What takes most of its time: `"compute"`, `"weights"`, `"feature maps"` or `"overhead"`; `""` where it
            takes none. In a streaming dataflow the slowest layer's is `"interval"`.
        tile_rows: Output rows of a tile; 0 for a layer that is not cut.
        tile_maps: Output maps of a tile; 0 for a layer that is not cut.
        tiles: How many tiles.
        buffer_mj: Energy of the on-chip buffers' reads in millijoules.
    """

    name: str
    kind: str
    macs: int = 0
    cycles: int = 0
    weight_bytes: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    descriptors: int = 0
    latency_us: float = 0.0
    bound: str = ""
    tile_rows: int = 0
    tile_maps: int = 0
    tiles: int = 0
    buffer_mj: float = 0.0

    @property
    def dram_bytes(self):
        """All its DRAM traffic in bytes."""
        return self.weight_bytes + self.input_bytes + self.output_bytes


def layer_estimate(layer, accelerator):
    """Estimates one layer.

    Args:
        layer: A `Layer`.
        accelerator: An `Accelerator`.

    Returns:
        A `LayerEstimate`.

    Raises:
        ValueError: If its smallest tile does not fit a buffer.
    """
    if layer.kind in FREE_KINDS:
        return LayerEstimate(layer.name, layer.kind)
    try:
        row = _estimate(dataclasses.replace(layer, name="", fused=()), accelerator)
    except ValueError:
        # The same error again, with the layer's name in it.
        row = _estimate.__wrapped__(layer, accelerator)
    return dataclasses.replace(row, name=layer.name)


@functools.lru_cache(maxsize=16384)
def _estimate(layer, accelerator):
    """The estimate of a layer without its name: networks repeat the same few loop nests."""
    tiling, tiles, us = tiles_of(layer, accelerator)
    read, compute, write = (stage.sum() for stage in stage_us(tiles, accelerator))
    return LayerEstimate(
        name=layer.name,
        kind=layer.kind,
        macs=layer.macs,
        cycles=round(float(tiles.cycles.sum())),
        weight_bytes=math.ceil(tiles.weight_bytes.sum()),
        input_bytes=math.ceil(tiles.input_bytes.sum()),
        output_bytes=math.ceil(tiles.output_bytes.sum()),
        descriptors=int(tiles.read_descriptors.sum() + tiles.write_descriptors.sum()),
        latency_us=us + accelerator.layer_overhead_us,
        bound=_bound(tiles, compute, read, write, accelerator),
        tile_rows=tiling.rows if tiling else 0,
        tile_maps=tiling.maps if tiling else 0,
        tiles=len(tiles.cycles),
        buffer_mj=_buffer_mj(layer, tiling, accelerator),
    )


def _bound(tiles, compute, read, write, accelerator):
    weights = float(tiles.weight_bytes.sum()) / accelerator.bytes_per_us
    pixels = read - weights
    times = {
        "compute": compute,
        "weights": weights,
        "feature maps": max(pixels, write) if accelerator.duplex else pixels + write,
        "overhead": accelerator.layer_overhead_us,
    }
    return max(times, key=times.get)


def _buffer_mj(layer, tiling, accelerator):
    """Energy of reading the input and the weight buffer."""
    if not layer.macs:
        return 0.0
    groups = 1 if layer.channelwise else layer.groups
    pixels, weights = accelerator.unroll_for(layer.kind).reads(**tile_loops(layer, tiling, accelerator))
    bits = np.sum(pixels) * accelerator.activation_bits, np.sum(weights) * accelerator.weight_bits
    kib = accelerator.input_buffer_kib, accelerator.weight_buffer_kib
    picojoules = sum(b * energy.sram_pj_per_bit(k) for b, k in zip(bits, kib, strict=True))
    return groups * float(picojoules) * 1e-9
