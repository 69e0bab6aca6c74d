"""Accelerators that were published with measurements on a board.

One set of parameters stands for an accelerator on its board, whatever network it runs. What the publications leave
open (buffer sizes, the width of the memory port) is chosen here once, from what the device can hold, and said to be
so in `source`.
"""

import dataclasses

from tflite_export.fpga.accelerators.accelerator import Accelerator
from tflite_export.fpga.accelerators.architecture import Architecture

_MA = (
    'Ma et al., "Optimizing Loop Operation and Dataflow in FPGA Acceleration of Deep Convolutional Neural Networks", '
    'FPGA 2017, and "An Automatic RTL Compiler for High-Throughput FPGA Implementation of Diverse Deep Convolutional '
    'Neural Networks", FPL 2017. Clock, bits and DSP blocks as published; the number of MAC units is recalled. How the '
    "loops share them, the results that leave the array a cycle and the ports were chosen for each design with its "
    "measurements in view. Buffer sizes (they take about as many M20K blocks as the FPGA 2017 design), two DDR3-1600 "
    "banks and a fully connected unit that keeps up with the ports are assumptions, the same for all three."
)
_DPU = (
    "Unroll factors and clock: Xilinx Vitis AI DPU reference design and model zoo README. DSP blocks: PG338 v1.2, "
    "table 9. Buffers: the memory banks of PG338, 2048 words deep, one for each output channel's weights and two for "
    "each pixel; that four fifths of the latter hold inputs, and the 256-bit port, are assumptions of this project. A "
    "compute efficiency of 0.95 and 11 us a layer are fitted to Inception-v3 and MobileNet-v1 on the KV260 and hold "
    "for the ZCU104 and ZCU102 unchanged. The Ultra96 was measured with the older AI SDK 2.0.4: its 22 us a layer are "
    "fitted to ResNet-50 on a ZCU102 under that software."
)
_ZHANG = (
    'Zhang et al., "Optimizing FPGA-based Accelerator Design for Deep Convolutional Neural Networks", FPGA 2015. '
    "Board, clock, precision, DSP blocks and GFLOPS as published; the unroll factors are recalled. The 512-bit port "
    "and buffers that hold all input maps of a tile, so that they take more block RAM than was published, are "
    "assumptions of this project; no number is fitted."
)

_TWO_DDR3_1600 = 25.6

# Name, device, MHz, unrolling of the output maps, columns and rows, bits of a weight (pixels have 16), bits of the
# ports (512 a bank that has one), results that leave a cycle.
_MA_DESIGNS = (
    ("ma_arria10_150mhz", "arria10_gx1150", 150.0, (16, 14, 14), 8, 512, 14),
    ("ma_arria10_200mhz", "arria10_gx1150", 200.0, (16, 14, 14), 16, 1024, 28),
    ("ma_stratixv_150mhz", "stratixv_gxa7", 150.0, (16, 7, 14), 16, 512, 7),
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
# Device, MHz, GB/s, microseconds a layer. The Ultra96 has 32 bits of LPDDR4 at 1066 MHz (recalled).
DPU_BOARDS = {
    "kv260": ("k26", 300.0, 19.2, 11.0),
    "zcu104": ("zu7ev", 300.0, 19.2, 11.0),
    "zcu102": ("zu9eg", 281.0, 19.2, 11.0),
    "ultra96": ("zu3eg", 287.0, 8.5, 22.0),
}


def _ma(name, device, clock_mhz, unroll, weight_bits, port_bits, words_out):
    maps, columns, rows = unroll
    return Accelerator(
        name=name,
        unroll={"of": maps, "ox": columns, "oy": rows},
        clock_mhz=clock_mhz,
        weight_bits=weight_bits,
        activation_bits=16,
        bias_bits=16,
        dram_gb_per_s=_TWO_DDR3_1600,
        dma_bits=port_bits,
        input_buffer_kib=1024,
        weight_buffer_kib=768,
        output_buffer_kib=512,
        fully_connected_unroll={"of": port_bits // weight_bits},
        output_words_per_cycle=words_out,
        tile_order="maps",
        logic_macs=True,
        device=device,
        source=_MA,
    )


def _dpu(config, board):
    pixels, maps_in, maps_out = DPU_ARRAYS[config]
    device, clock_mhz, gb_per_s, overhead_us = DPU_BOARDS[board]
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
        input_buffer_kib=1.6 * pixels * maps_in,
        weight_buffer_kib=maps_in * maps_out,
        output_buffer_kib=0.4 * pixels * maps_in,
        compute_efficiency=0.95,
        layer_overhead_us=overhead_us,
        dsp_clock_ratio=2,
        extra_dsp=pixels * maps_out + 2,
        device=device,
        source=_DPU,
    )


_ZHANG_VC707 = Accelerator(
    name="zhang_vc707",
    unroll={"of": 64, "if": 7},
    clock_mhz=100.0,
    weight_bits=32,
    activation_bits=32,
    floating_point=True,
    dram_gb_per_s=12.8,
    input_buffer_kib=384,
    weight_buffer_kib=576,
    output_buffer_kib=192,
    device="xc7vx485t",
    source=_ZHANG,
)

_ALL = (
    _ZHANG_VC707,
    *(_ma(*design) for design in _MA_DESIGNS),
    *(_dpu(config, board) for board in DPU_BOARDS for config in DPU_ARRAYS),
)

ACCELERATORS = {accelerator.name: accelerator for accelerator in _ALL}


def accelerator(name, /, **changes):
    """A published accelerator by its name, with some fields changed.

    Args:
        name: A key of `fpga.ACCELERATORS`, or an `Accelerator` or `Dataflow`.
        **changes: Fields to replace.

    Returns:
        The `Accelerator` or `Dataflow`.

    Raises:
        ValueError: If there is none of that name; the known ones are listed. If a changed field is out of its range.

    Example:

    ```python
    fpga.accelerator("ma_arria10_200mhz", clock_mhz=240.0)
    ```
    """
    if not isinstance(name, Architecture):
        if name not in ACCELERATORS:
            raise ValueError(f"`accelerator` must be one of {', '.join(ACCELERATORS)}. Received: accelerator={name!r}")
        name = ACCELERATORS[name]
    return dataclasses.replace(name, **changes) if changes else name
