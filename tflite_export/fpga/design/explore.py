"""The design of an accelerator for a network and a device: every candidate estimated, the best one taken."""

import collections
import dataclasses

import numpy as np

from tflite_export.fpga.accelerators.accelerator import Accelerator
from tflite_export.fpga.accelerators.presets import accelerator as find_accelerator
from tflite_export.fpga.design.exploration import Design, Exploration
from tflite_export.fpga.design.front import pareto_front
from tflite_export.fpga.design.search import COLUMNS, SOUGHT, design_tables
from tflite_export.fpga.design.space import BUFFERS, Space
from tflite_export.fpga.devices import device as find_device
from tflite_export.fpga.estimate import estimate, loop_nests
from tflite_export.fpga.loops.layer import FREE_KINDS
from tflite_export.fpga.resources import resources

# Objective -> the column that it minimises, and the choice of tiles that does.
OBJECTIVES = {"latency": ("latency_ms", "time"), "energy": ("dram_energy_mj", "traffic")}
# Designs that are sifted for the front at once.
_BATCH = 1 << 18
_FIXED = ("name", "unroll", *BUFFERS)


def explore(model, device, accelerator=None, objective="latency", share=1.0, space=None, **fields):
    """Finds the unroll factors, buffers and tiles that serve a network best on a device.

    Every design of the space is estimated, with the tiles that `estimate` takes, so the answer is exact: that of
    `estimate` on each design in turn. What makes it fast is that designs share most of their work: for one layer the
    cuts into tiles depend on a few of the factors alone, and the other factors only scale its cycles.

    Args:
        model: A functional or Sequential `keras.Model`, the path of a .tflite file, or what `workload` returned.
        device: A name in `fpga.DEVICES`, or a `Device`.
        accelerator: An `Accelerator`, or the name of one in `fpga.ACCELERATORS`, that all designs share but for their
            `unroll` and buffers. By default 200 MHz, 8 bits and the memory of the device's board.
        objective: `"latency"`, or `"energy"` for that of the DRAM traffic.
        share: The largest share of each of the device's resources that a design may take, above 0 and at most 1.
        space: A dict from a loop (`of`, `if`, `ox`, `oy`, `kx`, `ky`, `oxy`) to candidate unroll factors, and from a
            buffer (`input_buffer_kib`, `weight_buffer_kib`, `output_buffer_kib`) to candidate sizes in KiB. What it
            does not name takes what `Space` says, made from the layers and the device.
        **fields: Fields of `Accelerator` to replace in `accelerator`. `tiling`, if it is not among them, is `"time"`
            where latency is sought and `"traffic"` where energy is.

    Returns:
        An `Exploration`; the tiles are in its `estimate.layers`. Of designs with equal objectives it takes the one with
        the fewest DSP blocks, then the least block RAM, then the least UltraRAM, then the first of the space, where
        small factors and buffers come first.

    Raises:
        ValueError: If an argument is out of its range or a name not known, if the network has nothing to run, if no
            design fits, with what is short, or if no design that fits holds every layer's smallest tile.

    Example:

    ```python
    found = fpga.explore(model, "zu9eg", share=0.8, space={"of": [8, 16, 32]})
    print(found)
    fpga.estimate(another_model, found.best)
    ```
    """
    device = find_device(device)
    _check(objective, share)
    column, tiling = OBJECTIVES[objective]
    work = loop_nests(model)
    layers = collections.Counter(
        dataclasses.replace(layer, name="", fused=()) for layer in work if layer.kind not in FREE_KINDS
    )
    if not layers:
        raise ValueError(f"`model` must have a layer that runs on the accelerator. Received: model={model!r}")
    base = _base(accelerator, device, {"tiling": tiling} | fields)
    space = Space(layers, base, device, space or {})
    tables = design_tables(layers, base, device, space, share)
    best, front, fitting, estimated = _reduce(tables, COLUMNS.index(column))
    considered = space.arrays * space.combinations
    if not estimated:
        raise ValueError(_nothing(work, base, device, space, share, fitting))
    best = _design(best[0], base, space)
    return Exploration(
        best=best.accelerator,
        estimate=estimate(work, best.accelerator, device),
        front=tuple(_design(row, base, space) for row in front),
        objective=objective,
        share=share,
        considered=considered,
        too_large=considered - fitting,
        untileable=fitting - estimated,
    )


def _check(objective, share):
    if objective not in OBJECTIVES:
        raise ValueError(f"`objective` must be one of {', '.join(OBJECTIVES)}. Received: objective={objective!r}")
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise ValueError(f"`share` must be above 0 and at most 1. Received: share={share!r}")


def _base(accelerator, device, fields):
    for name in fields:
        if name in _FIXED:
            raise ValueError(
                f"`{name}` is what is searched; give `space` its candidates. Received: {name}={fields[name]!r}"
            )
    fields = fields | {"device": device.name}
    if accelerator is not None:
        base = find_accelerator(accelerator)
        if not isinstance(base, Accelerator):
            raise ValueError(
                "`accelerator` must be an `Accelerator`; `fpga.fold` finds the folding of a `Dataflow`. "
                f"Received: accelerator={base.name!r}"
            )
        return dataclasses.replace(base, **fields)
    if device.dram_gb_per_s is None and "dram_gb_per_s" not in fields:
        raise ValueError(
            "The bandwidth of the board's memory is not known, so `dram_gb_per_s` or an `accelerator` must be given. "
            f"Received: device={device.name!r}"
        )
    defaults = {"clock_mhz": 200.0, "weight_bits": 8, "activation_bits": 8, "dram_gb_per_s": device.dram_gb_per_s}
    return Accelerator(name="explored", unroll={}, **dict.fromkeys(BUFFERS, 1) | defaults | fields)


def _reduce(tables, column):
    """The best row, the front, and how many designs fit and how many of them were estimated."""
    best = front = np.empty((0, len(COLUMNS)))
    fitting = estimated = 0
    waiting = []
    for table, fits in tables:
        fitting, estimated = fitting + fits, estimated + len(table)
        best = _least(np.concatenate([best, table]), column)
        waiting.append(table)
        if sum(map(len, waiting)) > _BATCH:
            front, waiting = _front(front, waiting), []
    return best, _front(front, waiting), fitting, estimated


def _front(front, tables):
    rows = np.concatenate([front, *tables])
    return rows[pareto_front(rows, len(SOUGHT))]


def _least(table, column):
    """The row with the least of a column, among equals by the columns that decide between them."""
    rows = table[table[:, column] == table[:, column].min(initial=np.inf)]
    return rows[np.lexsort(rows[:, : len(SOUGHT) - 1 : -1].T)[:1]]


def _design(row, base, space):
    values = dict(zip(COLUMNS, row.tolist(), strict=True))
    accelerator = dataclasses.replace(base, **space.design(int(values.pop("number"))))
    return Design(accelerator, **values | {key: int(values[key]) for key in ("dsp", "uram")})


def _nothing(work, base, device, space, share, fitting):
    """The sentence that says why no design can be built."""
    if not fitting:
        least = resources(dataclasses.replace(base, **space.design(0)), device)
        needs = (("DSP", least.dsp, device.dsp), (least.lut_unit, least.lut, device.logic))
        needs += ((least.bram_unit, least.bram, device.block_ram), ("URAM", least.uram, device.uram))
        short = [
            f"{unit} {needed:g} of {has}, {needed - share * has:g} too many"
            for unit, needed, has in needs
            if needed > share * has
        ]
        return (
            f"No design of the space fits: the smallest, {space.design(0)['name']}, takes {'; '.join(short)}. Allow "
            f"smaller factors or buffers, a larger share or another device. Received: device={device.name!r}, "
            f"share={share}"
        )
    try:
        largest = dataclasses.replace(base, **space.design(space.combinations - 1))
        estimate(work, largest, device)
    except ValueError as error:
        return f"No design of the space holds every layer. With the smallest factors and the largest buffers: {error}"
    return (
        f"No design of the space both fits and holds every layer; with the smallest factors and the largest buffers, "
        f"{largest.name} would. Allow buffers between. Received: device={device.name!r}, share={share}"
    )
