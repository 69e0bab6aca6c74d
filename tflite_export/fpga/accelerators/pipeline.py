"""The time of a sequence of tiles that are read, computed and written by three units at once."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Tiles:
    """What each tile of a layer moves and computes, tile by tile in the order of execution.

    Attributes:
        cycles: Cycles of the array, one entry a tile.
        weight_bytes: Bytes of weights and biases read for the tile.
        input_bytes: Bytes of pixels read.
        output_bytes: Bytes of pixels written.
        read_descriptors: Separate transfers among the reads.
        write_descriptors: Separate transfers among the writes.
    """

    cycles: np.ndarray
    weight_bytes: np.ndarray
    input_bytes: np.ndarray
    output_bytes: np.ndarray
    read_descriptors: np.ndarray
    write_descriptors: np.ndarray

    def repeat(self, times):
        """The sequence run several times over, as for the groups of a convolution."""
        if times == 1:
            return self
        return Tiles(*(np.tile(getattr(self, field.name), times) for field in dataclasses.fields(self)))

    @property
    def dram_bytes(self):
        """All bytes that cross the memory port."""
        return float(self.weight_bytes.sum() + self.input_bytes.sum() + self.output_bytes.sum())


def latency_us(tiles, accelerator):
    """Microseconds from the first read to the last write, double buffered.

    While tile `t` is computed, tile `t + 1` is read and tile `t - 1` is written, so each step takes the longest of
    the three: `max(compute, max(read, write))`. The first read and the last write are not hidden, and a layer of one
    tile pays its read, compute and write in full. Where the memory port is not duplex a step's transfers add up.
    Source: Ma et al., "Performance Modeling for CNN Inference Accelerators on FPGA", IEEE TCAD 2020.
    """
    read, compute, write = (
        np.pad(x, pad) for x, pad in zip(stage_us(tiles, accelerator), ((0, 2), (1, 1), (2, 0)), strict=True)
    )
    transfer = np.maximum(read, write) if accelerator.duplex else read + write
    return float(np.maximum(compute, transfer).sum())


def stage_us(tiles, accelerator):
    """Microseconds of reading, computing and writing each tile."""
    gap = accelerator.descriptor_gap_bytes
    read = tiles.weight_bytes + tiles.input_bytes + gap * tiles.read_descriptors
    write = tiles.output_bytes + gap * tiles.write_descriptors
    compute = tiles.cycles / (accelerator.clock_mhz * accelerator.compute_efficiency)
    return read / accelerator.bytes_per_us, compute, write / accelerator.bytes_per_us
