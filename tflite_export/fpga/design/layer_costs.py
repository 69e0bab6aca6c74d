"""What a layer costs on many arrays with many sizes of buffers at once: the same figures as `layer_estimate`.

Of all that a design decides, the cut of a layer depends only on the unroll factors of its rows and maps and on the
buffers; the other factors multiply the cycles of every tile by one number. So a cut is laid out once, timed for all
those numbers together, and chosen once for all buffers that admit the same cuts.
"""

import dataclasses
import math

import numpy as np

from tflite_export.fpga.accelerators.accelerator import UNROLLS
from tflite_export.fpga.accelerators.per_layer import layer_estimate
from tflite_export.fpga.accelerators.pipeline import stage_us
from tflite_export.fpga.accelerators.tiling import buffer_words, cut_tiles, fitting_cuts, tile_loops, tile_words
from tflite_export.fpga.design.space import BUFFERS
from tflite_export.fpga.loops.layer import WINDOW_KINDS

# Larger than any layer.
_ENDLESS = 1e12


@dataclasses.dataclass(frozen=True)
class _Cuts:
    """The cuts that some buffers choose from, in the order in which ties are decided.

    Attributes:
        steps: For each cut the passes of the array in each step, to be multiplied by the cycles of a pass.
        transfers: For each cut the microseconds of the transfers beside each step.
        traffic: Bytes and descriptors of each cut, shape `(2, cuts)`.
        choices: The distinct sets of cuts that buffers leave to choose from, indices.
        choice: The number of its set for each combination of buffers.
    """

    steps: list
    transfers: list
    traffic: np.ndarray
    choices: list
    choice: np.ndarray


class LayerCosts:
    """The costs of one layer on arrays that share a base accelerator.

    Args:
        layer: A `Layer` that is not free.
        base: An `Accelerator`; all but its `unroll` and buffers counts.
        sizes: Candidate sizes in KiB of the input, weight and output buffer, three sequences.
    """

    def __init__(self, layer, base, sizes):
        self._layer = layer
        self._base = base
        self._sizes = sizes
        self._capacities = [
            np.array([buffer_words(dataclasses.replace(base, **{name: kib}))[i] for kib in kibs])
            for i, (name, kibs) in enumerate(zip(BUFFERS, sizes, strict=True))
        ]
        self._known = {}

    def holds(self, unroll):
        """Which combinations of buffers hold a tile of the layer, booleans in the order of `itertools.product`.

        Args:
            unroll: The `Unroll` for this kind of layer; only its `of`, `oy` and `oxy` count.
        """
        layer, (inputs, weights, outputs) = self._layer, self._capacities
        if layer.kind in WINDOW_KINDS:
            cuts = self._cuts(unroll)
            return np.array([choice.size > 0 for choice in cuts.choices])[cuts.choice]
        vector = layer.kind == "fully_connected"
        inputs, outputs = (layer.n_if <= inputs, layer.n_of <= outputs) if vector else (inputs > 0, outputs > 0)
        return (inputs[:, None, None] & (weights >= 0)[:, None] & outputs).ravel()

    def __call__(self, unrolls, combinations):
        """The layer's costs.

        Args:
            unrolls: The `Unroll` of each array for this kind of layer, all with the same `of`, `oy` and `oxy`.
            combinations: Indices of combinations of buffers that hold the layer.

        Returns:
            Microseconds, DRAM bytes and descriptors, shape `(3, arrays, combinations)`.
        """
        costs = self._windows if self._layer.kind in WINDOW_KINDS else self._streams
        return costs(unrolls, combinations)

    def _windows(self, unrolls, combinations):
        passes, index = np.unique([self._pass_cycles(unroll) for unroll in unrolls], return_inverse=True)
        cuts, timed = self._cuts(unrolls[0]), (self._tile_factors(unrolls[0]), passes.tobytes())
        if timed not in self._known:
            self._known[timed] = _choose(cuts, passes, self._base)
        return self._known[timed][:, index[:, None], cuts.choice[combinations]]

    def _cuts(self, unroll):
        shape = self._tile_factors(unroll)
        if shape not in self._known:
            self._known[shape] = self._lay_out(unroll)
        return self._known[shape]

    def _pass_cycles(self, unroll):
        """Cycles of one pass: one unrolled set of rows and maps (of output pixels, where they are one loop)."""
        layer = self._layer
        n_ox = layer.n_ox if unroll.factor("oxy") == 1 else 1
        drain = unroll.drain(self._base.output_words_per_cycle) if layer.macs else 1
        return unroll.cycles(layer.n_kx, layer.n_ky, layer.n_if, n_ox, drain=drain)

    def _tile_factors(self, unroll):
        """The factors that shape tiles; beyond the size of the loop they are all the same."""
        layer = self._layer
        maps = layer.n_of if layer.channelwise else layer.n_of // layer.groups
        loops = (("of", maps), ("oy", layer.n_oy), ("oxy", layer.n_ox * layer.n_oy))
        return tuple(min(unroll.factor(loop), size) for loop, size in loops)

    def _lay_out(self, unroll):
        layer, array = self._layer, self._array(unroll)
        cuts = fitting_cuts(layer, array)
        cuts.sort(key=lambda cut: (cut[1], cut[0].row_tiles * cut[0].map_tiles))
        fits = self._fits(np.array([cut.rows for cut, _ in cuts]), np.array([cut.maps for cut, _ in cuts]))
        if array.tiling == "traffic":
            bits = np.array([bits for _, bits in cuts])
            fits &= bits[:, None] == bits[fits.argmax(0)]
        used = np.flatnonzero(fits.any(1))
        sets, choice = np.unique(fits[used], axis=1, return_inverse=True)
        n_ox = 1 if unroll.factor("oxy") == 1 else layer.n_ox
        known = [self._transfers(cuts[i][0], array) for i in used]
        return _Cuts(
            [unroll.cycles(n_ox=n_ox, n_oy=rows, n_of=maps) for (rows, maps), _, _ in known],
            [transfers for _, transfers, _ in known],
            np.reshape([traffic for _, _, traffic in known], (-1, 2)).T,
            [np.flatnonzero(column) for column in sets.T],
            choice.ravel(),
        )

    def _transfers(self, cut, array):
        """Rows and maps of the tile that each step computes, microseconds of its transfers, and the traffic of all.

        None of these depends on the unroll factors.
        """
        if cut not in self._known:
            layer, tiles, loops = self._layer, cut_tiles(self._layer, cut, array), tile_loops(self._layer, cut, array)
            groups = 1 if layer.channelwise else layer.groups
            sizes = [np.concatenate(([0], np.tile(loops[name], groups), [0])) for name in ("n_oy", "n_of")]
            self._known[cut] = sizes, _transfer_us(tiles, array), _traffic(tiles)
        return self._known[cut]

    def _array(self, unroll, **buffers):
        """An accelerator that runs this kind of layer under these factors, with endless buffers but those given."""
        own = {} if self._layer.kind == "conv" else {UNROLLS[self._layer.kind]: unroll}
        return dataclasses.replace(self._base, unroll=unroll, **own, **dict.fromkeys(BUFFERS, _ENDLESS) | buffers)

    def _fits(self, rows, maps):
        """Which cut (rows) fits which combination of buffers (columns)."""
        fits = np.ones((len(rows), 1), bool)
        for words, capacities in zip(tile_words(self._layer, rows, maps), self._capacities, strict=True):
            each = np.broadcast_to(words, rows.shape)[:, None] <= capacities
            fits = (fits[:, :, None] & each[:, None, :]).reshape(len(rows), -1)
        return fits

    def _streams(self, unrolls, combinations):
        layer = self._layer
        loops = {name: getattr(layer, name) for name in ("n_if", "n_ox", "n_oy", "n_of")}
        # All that counts of the factors: the cycles, and how many sets of output neurons there are.
        keys = [(unroll.cycles(**loops), unroll.cycles(n_of=layer.n_of)) for unroll in unrolls]
        for key, unroll in zip(keys, unrolls, strict=True):
            if key not in self._known:
                self._known[key] = self._stream(unroll)
        # The order of `itertools.product`: the output buffer's sizes change first, then the weight buffer's.
        weights = combinations // len(self._sizes[2]) % len(self._sizes[1])
        return np.stack([self._known[key] for key in keys], axis=1)[:, :, weights]

    def _stream(self, unroll):
        """The layer on one array for each size of the weight buffer, which is all that a fully connected one heeds."""
        sizes = self._sizes[1] if self._layer.weights else [_ENDLESS]
        rows = [layer_estimate(self._layer, self._array(unroll, weight_buffer_kib=kib)) for kib in sizes]
        costs = np.array([(row.latency_us, row.dram_bytes, row.descriptors) for row in rows]).T
        return np.broadcast_to(costs, (3, len(self._sizes[1])))


def _transfer_us(tiles, array):
    """Microseconds of the transfers beside each step, as in `latency_us`: a tile is read two steps before it leaves."""
    read, _, write = stage_us(tiles, array)
    read, write = np.concatenate((read, [0, 0])), np.concatenate(([0, 0], write))
    return np.maximum(read, write) if array.duplex else read + write


def _traffic(tiles):
    """DRAM bytes, each sort rounded up, and descriptors, as in `layer_estimate`."""
    num_bytes = sum(math.ceil(x.sum()) for x in (tiles.weight_bytes, tiles.input_bytes, tiles.output_bytes))
    return num_bytes, tiles.read_descriptors.sum() + tiles.write_descriptors.sum()


def _choose(cuts, passes, base):
    """The best cut's costs for each number of cycles a pass and each set of cuts, shape `(3, passes, sets)`."""
    clock = base.clock_mhz * base.compute_efficiency
    us = np.zeros((len(cuts.steps), len(passes)))
    for i, (steps, transfer) in enumerate(zip(cuts.steps, cuts.transfers, strict=True)):
        us[i] = np.maximum(steps * passes[:, None] / clock, transfer).sum(1)
    costs = np.zeros((3, len(passes), len(cuts.choices)))
    for number, choice in enumerate(cuts.choices):
        if choice.size:
            best = choice[us[choice].argmin(0)]
            costs[0, :, number] = us[best, np.arange(len(passes))] + base.layer_overhead_us
            costs[1:, :, number] = cuts.traffic[:, best]
    return costs
