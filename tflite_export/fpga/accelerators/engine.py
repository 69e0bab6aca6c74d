"""One layer's own engine in a streaming dataflow: cycles, memories and logic, after FINN.

FINN: Umuroglu et al., "FINN", FPGA 2017; Blott et al., "FINN-R", ACM TRETS 11(3), 2018; and its repository, whose
estimation passes the formulas are those of.
"""

import dataclasses
import functools
import itertools
import math

from tflite_export.fpga import energy
from tflite_export.fpga.accelerators.unroll import ceil_div
from tflite_export.fpga.loops.layer import Layer
from tflite_export.fpga.resources import ROUTABLE, bram36_blocks, m20k_blocks, memory_controller, uram_blocks

# LUTs of an engine: a base, and a factor on what its operators need (FINN-R, section 5).
BASE_LUT, LUT_FACTOR = 300, 1.1
ACCUMULATOR_BITS = 32
# Bits of a row of UltraRAM.
URAM_BITS = 72


@dataclasses.dataclass(frozen=True)
class Engine:
    """A layer's engine: `pe` output maps at once, `simd` products of each sum.

    Args:
        layer: A `Layer` that is not free.
        pe: Processing elements; divides the output maps.
        simd: Products that each takes a cycle; divides the kernel positions times the input maps of a sum.
        weight_bits: Bits of a weight.
        activation_bits: Bits of a pixel.
        logic_multipliers: Whether multipliers are built from logic.

    Raises:
        ValueError: If `pe` or `simd` does not divide its loop.
    """

    layer: Layer
    pe: int
    simd: int
    weight_bits: int
    activation_bits: int
    logic_multipliers: bool

    def __post_init__(self):
        for field, size in (("pe", self.layer.n_of), ("simd", self.sum_length)):
            value = getattr(self, field)
            if value not in divisors(size):
                raise ValueError(
                    f"`{field}` of layer {self.layer.name!r} must divide {size}: one of "
                    f"{', '.join(map(str, divisors(size)))}. Received: {field}={value!r}"
                )

    @property
    def sum_length(self):
        """Products of one output pixel, or positions of a pooling's window."""
        return self.layer.n_kx * self.layer.n_ky * self.layer.n_if

    @property
    def multipliers(self):
        """Multiply-accumulates a cycle."""
        return self.pe * self.simd if self.layer.macs else 0

    @property
    def input_words(self):
        """Input pixels that the engine takes a cycle: a channelwise one takes those of each output map apart."""
        return self.simd if self.layer.macs and not self.layer.channelwise else self.pe

    @property
    def cycles(self):
        """Cycles of a frame: `(MH / PE) * (MW / SIMD) * pixels`, or what the input takes to come in, if longer."""
        layer = self.layer
        folds = layer.n_of // self.pe * (self.sum_length // self.simd)
        incoming = layer.n_ix * layer.n_iy * layer.input_maps
        return max(folds * layer.n_ox * layer.n_oy, ceil_div(incoming, self.input_words))

    def alternatives(self):
        """The engines that the layer can have, narrowest first, without those that a narrower one equals in speed.

        Of equal ones that with fewer memory blocks is taken, then that with less logic.
        """
        pairs = itertools.product(divisors(self.layer.n_of), divisors(self.sum_length))
        engines = [dataclasses.replace(self, pe=pe, simd=simd) for pe, simd in pairs]
        fastest, kept = math.inf, []
        for engine in sorted(engines, key=_cost):
            if engine.cycles < fastest:
                fastest = engine.cycles
                kept.append(engine)
        return kept

    @functools.cached_property
    def memories(self):
        """`(width in bits, depth)` of the weights and of the rows that wait for their window, where there are any."""
        layer, lanes = self.layer, self.pe * self.simd
        weights = [(lanes * self.weight_bits, layer.weights // lanes)] if layer.weights else []
        line = (self.input_words * self.activation_bits, ceil_div(self.window_elements, self.input_words))
        return (*weights, line) if self.forms_windows else tuple(weights)

    @property
    def forms_windows(self):
        """Whether pixels wait for their window; a pooling of the whole map adds them up as they come."""
        layer = self.layer
        return layer.n_kx * layer.n_ky > 1 and (layer.kind != "pool" or layer.n_ox * layer.n_oy > 1)

    @property
    def window_elements(self):
        """Pixels that a window spans in the order of arrival: whole rows but the last, and `kx` pixels of that."""
        layer = self.layer
        row = layer.n_ix + sum(layer.padding[0])
        return ((layer.reach(1) - 1) * row + layer.reach(0)) * layer.input_maps

    @functools.cached_property
    def lut(self):
        """LUTs: `300 + 1.1 * PE * (multipliers + adder tree + accumulator)`, and 300 to form windows."""
        lut = BASE_LUT * (1 + self.forms_windows)
        if not self.multipliers:
            return lut
        bits = self.weight_bits + self.activation_bits
        products = self.simd * (2 * ceil_div(bits, 6) - 1) * bits if self.logic_multipliers else 0
        accumulator = min(ACCUMULATOR_BITS, bits + math.ceil(math.log2(self.sum_length)))
        return lut + LUT_FACTOR * self.pe * (products + bits * (2 * self.simd - 1) + accumulator)

    @property
    def buffer_mj(self):
        """Energy of a frame in mJ: each memory gives a word a cycle, at 45 nm ASIC figures."""
        words = ((width, energy.sram_pj_per_bit(width * depth / 8192)) for width, depth in self.memories)
        return self.cycles * sum(width * picojoules for width, picojoules in words) * 1e-9

    @property
    def first_window(self):
        """The share of the input that has to come in before the first output pixel can be computed."""
        layer = self.layer
        rows, columns = (max(1, layer.reach(axis) - layer.padding[axis][0]) for axis in (1, 0))
        return min(1.0, ((rows - 1) * layer.n_ix + min(columns, layer.n_ix)) / (layer.n_ix * layer.n_iy))


def _cost(engine):
    blocks = sum(bram36_blocks(*shape) for shape in engine.memories)
    return engine.pe * engine.simd, engine.cycles, blocks, engine.lut


@functools.lru_cache(maxsize=4096)
def divisors(size):
    """The divisors of a size, from 1 to the size itself."""
    return tuple(n for n in range(1, size + 1) if size % n == 0)


def latency_cycles(engines):
    """Cycles from the first pixel in to the last pixel out, as `Dataflow` says."""
    start = end = 0.0
    for engine in engines:
        start += engine.first_window * (end - start)
        end = max(start + engine.cycles, end + engine.cycles / (engine.layer.n_ox * engine.layer.n_oy))
    return end


def place_memories(shapes, device):
    """Memory blocks and UltraRAM blocks of many memories, each built once.

    Block RAM is taken first. As long as it is above the share up to which designs usually route, the memory that frees
    the most of it for each UltraRAM block moves there, if there is room. Narrow words share a row of UltraRAM.

    Args:
        shapes: `(width in bits, depth)` of each memory.
        device: A `Device`.

    Returns:
        `(memory blocks, UltraRAM blocks)`.
    """
    count = m20k_blocks if device.is_intel else bram36_blocks
    blocks = [(count(*shape), _packed_uram_blocks(*shape)) for shape in shapes]
    bram, uram = sum(freed for freed, _ in blocks), 0
    limit = ROUTABLE["block_ram"] * device.block_ram - memory_controller(device)[1]
    for freed, taken in sorted(blocks, key=lambda x: x[0] / x[1], reverse=True):
        if bram <= limit:
            break
        if uram + taken <= device.uram:
            bram, uram = bram - freed, uram + taken
    return bram, uram


def _packed_uram_blocks(width, depth):
    side_by_side = max(1, URAM_BITS // width)
    return uram_blocks(width * side_by_side, ceil_div(depth, side_by_side))
