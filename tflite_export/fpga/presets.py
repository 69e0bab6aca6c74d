"""Accelerators that were published with measurements on a board.

One set of parameters stands for an accelerator on its board, whatever network it runs. What the publications leave
open (buffer sizes, the width of the memory port) is chosen here once, from what the device can hold, and said to be
so in `source`.
"""

import dataclasses

from tflite_export.fpga.accelerator import Accelerator

_MA = (
    'Ma et al., "Optimizing Loop Operation and Dataflow in FPGA Acceleration of Deep Convolutional Neural Networks", '
    'FPGA 2017, and "An Automatic RTL Compiler for High-Throughput FPGA Implementation of Diverse Deep Convolutional '
    'Neural Networks", FPL 2017. Unroll factors recalled. Buffer sizes (they take about as many M20K blocks as the '
    "FPGA 2017 design), two DDR3-1600 banks, a 512-bit port, results that leave one row of the unrolled columns a "
    "cycle, and a fully connected unit that keeps up with the port are assumptions of this project, made once for all "
    "three designs with the measurements in view; no number is fitted."
)
_DPU = (
    "Unroll factors and clock: Xilinx Vitis AI DPU reference design and model zoo README. DSP blocks: PG338 v1.2, "
    "table 9. Buffer sizes after the block RAM of that table; their split and the 256-bit port are assumptions of "
    "this project. A compute efficiency of 0.92 and 8 us a layer are fitted to eight networks on the KV260 together "
    "and hold for the other boards unchanged."
)

_TWO_DDR3_1600 = 25.6
_PORT_BITS = 512

# Name, device, MHz, unrolling of the output maps, columns and rows, bits of a weight; pixels have 16 bits.
_MA_DESIGNS = (
    ("ma_arria10_150mhz", "arria10_gx1150", 150.0, (16, 14, 14), 8),
    ("ma_arria10_200mhz", "arria10_gx1150", 200.0, (32, 14, 7), 16),
    ("ma_stratixv_150mhz", "stratixv_gxa7", 150.0, (32, 7, 7), 16),
)

# Pixels, input maps and output maps at once; the name says the operations a cycle.
DPU_ARRAYS = {
    "b512": (4, 8, 8),
    "b800": (4, 10, 10),
    "b1024": (8, 8, 8),
    "b1152": (4, 12, 12),
    "b1600": (8, 10, 10),
    "b2304": (8, 12, 12),
    "b3136": (8, 14, 14),
    "b4096": (8, 16, 16),
}
# Device, MHz, GB/s. The Ultra96 has 32 bits of LPDDR4 at 1066 MHz (recalled).
DPU_BOARDS = {
    "kv260": ("k26", 300.0, 19.2),
    "zcu104": ("zu7ev", 300.0, 19.2),
    "zcu102": ("zu9eg", 281.0, 19.2),
    "ultra96": ("zu3eg", 287.0, 8.5),
}


def _ma(name, device, clock_mhz, unroll, weight_bits):
    maps, columns, rows = unroll
    return Accelerator(
        name=name,
        unroll={"of": maps, "ox": columns, "oy": rows},
        clock_mhz=clock_mhz,
        weight_bits=weight_bits,
        activation_bits=16,
        bias_bits=16,
        dram_gb_per_s=_TWO_DDR3_1600,
        dma_bits=_PORT_BITS,
        input_buffer_kib=1024,
        weight_buffer_kib=768,
        output_buffer_kib=512,
        fully_connected_unroll={"of": _PORT_BITS // weight_bits},
        output_words_per_cycle=columns,
        tile_order="maps",
        logic_macs=True,
        device=device,
        source=_MA,
    )


def _dpu(config, board):
    pixels, maps_in, maps_out = DPU_ARRAYS[config]
    device, clock_mhz, gb_per_s = DPU_BOARDS[board]
    return Accelerator(
        name=f"dpu_{config}_{board}",
        unroll={"ox": pixels, "if": maps_in, "of": maps_out},
        depthwise_unroll={"ox": pixels // 2, "of": maps_out},
        pool_unroll={"ox": pixels, "of": maps_out},
        clock_mhz=clock_mhz,
        weight_bits=8,
        activation_bits=8,
        dram_gb_per_s=gb_per_s,
        dram_type="textbook",
        dma_bits=256,
        input_buffer_kib=2 * pixels * maps_in,
        weight_buffer_kib=maps_in * maps_out / 2,
        output_buffer_kib=pixels * maps_out,
        compute_efficiency=0.92,
        layer_overhead_us=8.0,
        dsp_clock_ratio=2,
        extra_dsp=pixels * maps_out + 2,
        device=device,
        source=_DPU,
    )


_ALL = (
    *(_ma(*design) for design in _MA_DESIGNS),
    *(_dpu(config, board) for board in DPU_BOARDS for config in DPU_ARRAYS),
)

ACCELERATORS = {accelerator.name: accelerator for accelerator in _ALL}


def accelerator(name, **changes):
    """A published accelerator by its name, with some fields changed.

    Args:
        name: A key of `fpga.ACCELERATORS`, or an `Accelerator`.
        **changes: Fields of `Accelerator` to replace.

    Returns:
        The `Accelerator`.

    Raises:
        ValueError: If there is none of that name; the known ones are listed. If a changed field is out of its range.

    Example:

    ```python
    fpga.accelerator("ma_arria10_200mhz", clock_mhz=240.0)
    ```
    """
    if not isinstance(name, Accelerator):
        if name not in ACCELERATORS:
            raise ValueError(f"`accelerator` must be one of {', '.join(ACCELERATORS)}. Received: accelerator={name!r}")
        name = ACCELERATORS[name]
    return dataclasses.replace(name, **changes) if changes else name
