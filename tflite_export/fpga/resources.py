"""DSP blocks, memory blocks and logic that an accelerator takes on a device."""

import dataclasses
import functools
import itertools
import math

import numpy as np

from tflite_export.fpga.accelerators.unroll import ceil_div

INTEL_FAMILIES = ("stratix_v", "arria_10", "stratix_10")

# (depth, width) of an M20K block: Intel 683485, "Stratix V and Arria 10 embedded memory blocks".
M20K_SHAPES = ((512, 40), (1024, 20), (2048, 10), (4096, 5), (8192, 2), (16384, 1))

# MAC units, LUT, BRAM36 and DSP of the DPU configurations B512 to B4096 without depthwise, average pooling or leaky
# ReLU, high DSP usage, on a ZCU102: Xilinx PG338 v1.2, "DPU for Convolutional Neural Network", March 2019, table 9.
DPU_POINTS = (
    (256, 20177, 69.5, 98),
    (400, 20617, 87, 142),
    (512, 27377, 101.5, 194),
    (576, 28698, 117.5, 194),
    (800, 30877, 123, 282),
    (1152, 34379, 161.5, 386),
    (1568, 38555, 203.5, 506),
    (2048, 40865, 249.5, 642),
)
# MAC units and LUT of a DPU B3136 with all its options on a K26: Vitis AI reference design. It bounds the error of
# the fit from above.
DPU_WITH_OPTIONS = (1568, 45_500)
# ALM of the Arria 10 design of Ma et al., FPGA 2017, for 3136 MAC units (recalled): one point, so its slope is
# uncertain.
INTEL_POINT = (3136, 161_000)
INTEL_BASE_ALM = 20_000
INTEL_ERROR = 0.35

# A DDR controller in logic: FINN's resource model, as (LUT, BRAM36, DSP).
SOFT_MEMORY_CONTROLLER = (33_000, 99.5, 3)

# Shares of a device up to which designs usually route: FINN.
ROUTABLE = {"logic": 0.70, "dsp": 0.80, "block_ram": 0.80}


@dataclasses.dataclass(frozen=True)
class Resources:
    """What an accelerator takes on a device.

    Attributes:
        dsp: DSP blocks or slices.
        bram: Memory blocks in the device's unit.
        bram_unit: `"BRAM36"` or `"M20K"`.
        uram: UltraRAM blocks, used where block RAM alone does not do.
        lut: LUTs or ALMs, from a linear fit.
        lut_unit: `"LUT"` or `"ALM"`.
        lut_error: Relative error of `lut`: the worst of the points that the fit goes through.
        logic_macs: MAC units built from logic for want of DSP blocks.
        share: What part of the device the scarcest of these takes: at most 1 if all fit.
        shortfalls: What does not fit, a sentence each.
        warnings: What fits and may still not route, a sentence each.
    """

    dsp: int
    bram: float
    bram_unit: str
    uram: int
    lut: int
    lut_unit: str
    lut_error: float
    logic_macs: int
    share: float
    shortfalls: tuple
    warnings: tuple


def resources(accelerator, device):
    """Resources of an accelerator on a device.

    Sources: DSP blocks, Intel 683258 and 683332, Xilinx WP486; memory blocks, Intel 683485 and FINN's resource model;
    logic, a linear fit (`logic_fit`).

    Args:
        accelerator: An `Accelerator`.
        device: A `Device`.

    Returns:
        `Resources`.
    """
    array_dsp, logic_macs = dsp_blocks(accelerator, device)
    bram, uram = memory_blocks(accelerator, device)
    base, per_mac, error = logic_fit(device.is_intel)
    multiplier = accelerator.weight_bits * accelerator.activation_bits / 2
    logic = math.ceil(base + per_mac * accelerator.mac_units + logic_macs * multiplier)
    return judged(device, array_dsp + accelerator.extra_dsp, bram, uram, logic, error, logic_macs)


def judged(device, dsp, block_ram, uram, logic, logic_error, logic_macs):
    """What a design takes, with the memory controller that the device needs, beside what the device has.

    Args:
        device: A `Device`.
        dsp: DSP blocks.
        block_ram: Memory blocks in the device's unit.
        uram: UltraRAM blocks.
        logic: LUTs or ALMs.
        logic_error: Relative error of `logic`.
        logic_macs: MAC units built from logic.

    Returns:
        `Resources`.
    """
    lut, bram, blocks = memory_controller(device)
    needs = {"dsp": dsp + blocks, "block_ram": block_ram + bram, "logic": logic + lut, "uram": uram}
    share, shortfalls, warnings = _judge(needs, device)
    return Resources(
        needs["dsp"],
        needs["block_ram"],
        device.block_ram_unit,
        uram,
        needs["logic"],
        device.logic_unit,
        logic_error,
        logic_macs,
        share,
        shortfalls,
        warnings,
    )


def memory_controller(device):
    """`(LUT, BRAM36, DSP)` of the DDR controller that a device without one of its own needs in logic."""
    return (0, 0, 0) if device.hard_memory_controller else SOFT_MEMORY_CONTROLLER


def macs_per_dsp(family, weight_bits, activation_bits, floating_point=False):
    """Multiply-accumulates that one DSP block does in a cycle of its clock.

    An Intel block multiplies two pairs of up to 18 bits or one of up to 27 bits (Intel 683258, 683332). A DSP48E2
    multiplies two 8-bit pairs that share an operand (Xilinx WP486), or one of 18 by 27 bits; a DSP48E1 one of 18 by
    25 bits. Wider products are tiled over several blocks. A single-precision multiply-accumulate takes one block of
    an Arria 10 or Stratix 10 and five DSP48; a Stratix V block multiplies its 24-bit fractions and leaves the rest to
    logic.
    """
    if floating_point:
        return 1.0 if family in INTEL_FAMILIES else 1 / 5
    narrow, wide = sorted((weight_bits, activation_bits))
    if family in INTEL_FAMILIES:
        return 2.0 if wide <= 18 else 1.0 if wide <= 27 else 1 / (ceil_div(narrow, 27) * ceil_div(wide, 27))
    if family == "ultrascale+" and wide <= 8:
        return 2.0
    return 1 / (ceil_div(narrow, 18) * ceil_div(wide, 27 if family == "ultrascale+" else 25))


def dsp_blocks(accelerator, device):
    """DSP blocks of the array, and the MAC units that have to be built from logic."""
    widths = (accelerator.weight_bits, accelerator.activation_bits, accelerator.floating_point)
    per_block = macs_per_dsp(device.family, *widths) * accelerator.dsp_clock_ratio
    needed = math.ceil(accelerator.mac_units / per_block)
    free = device.dsp - accelerator.extra_dsp
    if needed <= free or not accelerator.logic_macs:
        return needed, 0
    return free, accelerator.mac_units - int(free * per_block)


def buffer_shapes(accelerator):
    """`(width in bits, depth)` of the input, weight and output buffer, one half of each.

    A buffer is as wide as what the array takes from it in a cycle, or as the memory port, whichever is more.
    """
    (pixels, weights), dma = accelerator.unroll.line_words, accelerator.dma_bits
    sizes = (accelerator.input_buffer_kib, accelerator.weight_buffer_kib, accelerator.output_buffer_kib)
    widths = (max(pixels * accelerator.activation_bits, dma), max(weights * accelerator.weight_bits, dma), dma)
    return tuple((width, math.ceil(kib * 8192 / width)) for width, kib in zip(widths, sizes, strict=True))


def memory_blocks(accelerator, device):
    """Memory blocks and UltraRAM blocks of the six buffer halves.

    Block RAM is taken first; where it does not do and the device has UltraRAM, the buffers that need the fewest
    UltraRAM blocks move there.
    """
    shapes = buffer_shapes(accelerator)
    count = m20k_blocks if device.is_intel else bram36_blocks
    options = []
    for in_uram in itertools.product((False, True) if device.uram else (False,), repeat=len(shapes)):
        bram = sum(2 * count(*shape) for shape, there in zip(shapes, in_uram, strict=True) if not there)
        uram = sum(2 * uram_blocks(*shape) for shape, there in zip(shapes, in_uram, strict=True) if there)
        options.append((max(0, bram - device.block_ram) + max(0, uram - device.uram), uram, bram))
    _, uram, bram = min(options)
    return bram, uram


def m20k_blocks(width, depth):
    """M20K blocks of a memory: the least of `ceil(depth / D) * ceil(width / W)` over the shapes (Intel 683485)."""
    return min(ceil_div(depth, d) * ceil_div(width, w) for d, w in M20K_SHAPES)


def bram36_blocks(width, depth):
    """BRAM36 blocks of a memory, two BRAM18 each."""
    return bram18_blocks(width, depth) / 2


def bram18_blocks(width, depth):
    """BRAM18 blocks of a memory, after the resource model of FINN (Umuroglu et al., FPGA 2017)."""
    if width == 1:
        return ceil_div(depth, 16384)
    if width == 2:
        return ceil_div(depth, 8192)
    if width <= 4:
        return ceil_div(depth, 4096) * ceil_div(width, 4)
    if width <= 9:
        return ceil_div(depth, 2048) * ceil_div(width, 9)
    if width <= 18 or depth > 512:
        return ceil_div(depth, 1024) * ceil_div(width, 18)
    return ceil_div(depth, 512) * ceil_div(width, 36)


def uram_blocks(width, depth):
    """UltraRAM blocks of a memory: `ceil(width / 72) * ceil(depth / 4096)` (FINN)."""
    return ceil_div(width, 72) * ceil_div(depth, 4096)


@functools.cache
def logic_fit(intel):
    """`(base, per MAC unit, relative error)` of the logic.

    AMD: least squares through `DPU_POINTS`, the error being the largest residual, there or at `DPU_WITH_OPTIONS`.
    Intel: the line through one published design and an assumed base, with an assumed error.
    """
    if intel:
        macs, alm = INTEL_POINT
        return INTEL_BASE_ALM, (alm - INTEL_BASE_ALM) / macs, INTEL_ERROR
    macs, lut = np.array([point[:2] for point in DPU_POINTS], float).T
    slope, base = np.polyfit(macs, lut, 1)
    macs, lut = np.append(macs, DPU_WITH_OPTIONS[0]), np.append(lut, DPU_WITH_OPTIONS[1])
    return float(base), float(slope), float(np.max(np.abs(lut / (base + slope * macs) - 1)))


def _judge(needs, device):
    has = {"dsp": device.dsp, "block_ram": device.block_ram, "logic": device.logic, "uram": device.uram}
    unit = {"dsp": "DSP", "block_ram": device.block_ram_unit, "logic": device.logic_unit, "uram": "URAM"}
    shortfalls, warnings = [], []
    for what, needed in needs.items():
        if needed > has[what]:
            shortfalls.append(f"{unit[what]}: {needed:g} of {has[what]}, {needed - has[what]:g} too many")
        elif what in ROUTABLE and needed > ROUTABLE[what] * has[what]:
            share = needed / has[what]
            warnings.append(f"{unit[what]}: {share:.0%} of the device; designs route up to about {ROUTABLE[what]:.0%}")
    share = max(needed / has[what] if has[what] else math.inf for what, needed in needs.items() if needed)
    return share, tuple(shortfalls), tuple(warnings)
