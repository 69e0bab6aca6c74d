"""Energy of memory traffic and arithmetic.

Absolute figures are uncertain by a factor of about two: pJ a bit depends on the memory's generation, load and access
pattern. The ratio of two networks on the same memory is much safer, because the figure cancels.
"""

import dataclasses
import math

from tflite_export.fpga.accelerators.unroll import ceil_div


@dataclasses.dataclass(frozen=True)
class Memory:
    """A type of DRAM.

    Attributes:
        pj_per_bit: Energy of a transferred bit.
        activation_nj: Energy of opening a row, where `pj_per_bit` leaves it out; 0 where it is included.
        row_bytes: Bytes of an open row.
        error: Relative uncertainty; 1.0 means from half to twice the figure.
        source: Where the figures come from.
    """

    pj_per_bit: float
    activation_nj: float
    row_bytes: int
    error: float
    source: str


MEMORIES = {
    "ddr3": Memory(
        70.0,
        0.0,
        8192,
        0.5,
        'DDR3 module with I/O, background and activation: Malladi et al., "Towards Energy-Proportional Datacenter '
        'Memory with Mobile DRAM", ISCA 2012 (recalled)',
    ),
    "ddr3_core": Memory(
        16.0,
        4.5,
        8192,
        1.0,
        "DDR3 read and write current by the IDD method (Micron TN-41-01, recalled), row activation counted apart",
    ),
    "lpddr4": Memory(8.0, 0.0, 2048, 1.0, "LPDDR4, as used by Accelergy's CACTI plug-in"),
    "gddr5": Memory(14.0, 0.0, 2048, 0.5, 'O\'Connor et al., "Fine-Grained DRAM", MICRO 2017'),
    "hbm2": Memory(3.9, 0.0, 1024, 0.5, 'O\'Connor et al., "Fine-Grained DRAM", MICRO 2017'),
    "textbook": Memory(
        20.0,
        0.0,
        8192,
        1.0,
        '640 pJ for a read of 32 bits, 45 nm: Horowitz, "Computing\'s Energy Problem", ISSCC 2014, as quoted by Han '
        "et al., NIPS 2015",
    ),
}

# Capacity in KiB and pJ for 64 bits, 45 nm: Horowitz, ISSCC 2014.
SRAM_PJ_PER_64_BITS = ((8.0, 10.0), (32.0, 20.0), (1024.0, 100.0))
# Multiply of 8 by 8 bits and add of 32 bits in pJ, 45 nm: Horowitz, ISSCC 2014.
MULTIPLY_8_PJ, ADD_32_PJ = 0.2, 0.1


def dram_energy(num_bytes, descriptors, accelerator):
    """Energy of DRAM traffic, and its uncertainty; bytes and descriptors may be arrays.

    `bits * pJ/bit + rows * activation`. A descriptor opens at least one row, and a long transfer one for each
    `row_bytes`, so the number of rows is at most `descriptors + bytes / row_bytes`; that bound is used.

    Args:
        num_bytes: Bytes read and written.
        descriptors: How many separate transfers moved them.
        accelerator: The `Accelerator`, for its memory.

    Returns:
        `(mj, low, high)`: millijoules, and the range that the memory's uncertainty spans.
    """
    memory = MEMORIES[accelerator.dram_type]
    per_bit = memory.pj_per_bit if accelerator.dram_pj_per_bit is None else accelerator.dram_pj_per_bit
    rows = row_activations(num_bytes, descriptors, accelerator)
    energy = num_bytes * 8 * per_bit * 1e-9 + rows * memory.activation_nj * 1e-6
    return energy, energy / (1 + memory.error), energy * (1 + memory.error)


def row_activations(num_bytes, descriptors, accelerator):
    """An upper bound of the DRAM rows opened."""
    return descriptors + ceil_div(num_bytes, MEMORIES[accelerator.dram_type].row_bytes)


def mac_energy_pj(weight_bits, activation_bits):
    """Energy of one multiply-accumulate in pJ, 45 nm ASIC.

    The 8-bit multiplier's energy grows with the product of the widths (0.2 pJ at 8 by 8, 3.2 at 32 by 32, where the
    measured figure is 3.1); the accumulator has 32 bits. An FPGA's fabric takes several times as much.
    """
    return MULTIPLY_8_PJ * weight_bits * activation_bits / 64 + ADD_32_PJ


def sram_pj_per_bit(kib):
    """Energy of a bit read from an SRAM of this capacity in pJ at 45 nm: a power law between published figures."""
    points = SRAM_PJ_PER_64_BITS
    (x0, y0), (x1, y1) = points[:2] if kib <= points[1][0] else points[1:]
    exponent = math.log(y1 / y0) / math.log(x1 / x0)
    return y0 * (max(kib, 1.0) / x0) ** exponent / 64
