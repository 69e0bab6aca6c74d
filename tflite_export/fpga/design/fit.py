"""What many designs take of a device at once: the same figures as `resources`."""

import dataclasses
import functools
import itertools
import math

import numpy as np

from tflite_export.fpga.resources import (
    SOFT_MEMORY_CONTROLLER,
    bram36_blocks,
    buffer_shapes,
    m20k_blocks,
    resources,
    uram_blocks,
)


class Fit:
    """Resources of arrays that share a base accelerator, with every combination of buffers.

    Args:
        base: An `Accelerator`; all but its `unroll` and buffers counts.
        device: A `Device`.
        sizes: Candidate sizes in KiB of the input, weight and output buffer, three sequences.
    """

    def __init__(self, base, device, sizes):
        self._base, self._device, self._sizes = base, device, sizes
        self._arrays = {}

    def array(self, unroll):
        """DSP blocks of an array, and the larger of the shares of DSP blocks and of logic; buffers take neither."""
        units = math.prod(unroll.values())
        if units not in self._arrays:
            used = resources(dataclasses.replace(self._base, unroll=unroll), self._device)
            self._arrays[units] = used.dsp, max(used.dsp / self._device.dsp, used.lut / self._device.logic)
        return self._arrays[units]

    def designs(self, accelerators, share):
        """What arrays take with every combination of buffers.

        Returns:
            `(taken, fits)`: the largest share of any resource, DSP blocks, memory blocks and UltraRAM blocks, and
            whether that share is at most `share`, all of shape `(accelerators, combinations)`.
        """
        device, (bram, uram) = self._device, self.memory(accelerators)
        dsp, shares = np.array([self.array(accelerator.unroll) for accelerator in accelerators]).T
        shares = np.maximum(shares[:, None], bram / device.block_ram)
        shares = np.maximum(shares, uram / max(1, device.uram))
        return (shares, np.broadcast_to(dsp[:, None], bram.shape), bram, uram), shares <= share

    def memory(self, accelerators):
        """Memory blocks and UltraRAM blocks, each of shape `(accelerators, combinations of buffers)`."""
        shapes = [buffer_shapes(accelerator) for accelerator in accelerators]
        block = m20k_blocks if self._device.is_intel else bram36_blocks
        in_bram, in_uram = (self._blocks(count, shapes) for count in (block, uram_blocks))
        bram = _combined(in_bram)
        uram, over = np.zeros(bram.shape), bram > self._device.block_ram
        if self._device.uram and over.any():
            bram[over], uram[over] = self._with_uram(in_bram, in_uram, over)
        if not self._device.hard_memory_controller:
            bram += SOFT_MEMORY_CONTROLLER[1]
        return bram, uram

    def _blocks(self, count, shapes):
        """Blocks of each buffer in each of its sizes, three arrays of shape `(accelerators, sizes)`."""
        return [
            np.array([[_halves(count, shape[i][0], kib) for kib in kibs] for shape in shapes], float)
            for i, kibs in enumerate(self._sizes)
        ]

    def _with_uram(self, in_bram, in_uram, over):
        """The split that `memory_blocks` takes: the least that is too much, then the least UltraRAM, then block RAM."""
        best = None
        for there in itertools.product((False, True), repeat=len(in_bram)):
            bram = _combined([0 * x if moved else x for x, moved in zip(in_bram, there, strict=True)])[over]
            uram = _combined([x if moved else 0 * x for x, moved in zip(in_uram, there, strict=True)])[over]
            excess = np.maximum(0, bram - self._device.block_ram) + np.maximum(0, uram - self._device.uram)
            option = np.stack([excess, uram, bram])
            if best is not None:
                (e, u, b), (e0, u0, b0) = option, best
                option = np.where((e < e0) | (e == e0) & ((u < u0) | (u == u0) & (b < b0)), option, best)
            best = option
        return best[2], best[1]


@functools.lru_cache(maxsize=4096)
def _halves(count, width, kib):
    """Blocks of the two halves of a buffer."""
    return 2 * count(width, math.ceil(kib * 8192 / width))


def _combined(blocks):
    """The sum over the three buffers, for every combination of their sizes."""
    inputs, weights, outputs = blocks
    total = inputs[:, :, None, None] + weights[:, None, :, None] + outputs[:, None, None, :]
    return total.reshape(len(inputs), -1)
