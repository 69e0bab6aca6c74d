"""What a search for an accelerator found, and its table."""

import dataclasses

from tflite_export.fpga.accelerators.accelerator import Accelerator
from tflite_export.fpga.estimate import Estimate
from tflite_export.fpga.table import summary

# Lines of the front in a table; `front` has all.
_MOST_LINES = 16


@dataclasses.dataclass(frozen=True)
class Design:
    """One design of a search.

    Attributes:
        accelerator: Its `Accelerator`, named after its unroll factors and buffers.
        latency_ms: Time of one inference in milliseconds.
        dram_energy_mj: Energy of the DRAM traffic of one inference in millijoules.
        resource_share: The largest share that it takes of the device's DSP blocks, logic, block RAM and UltraRAM.
        dsp: DSP blocks.
        bram: Memory blocks in the device's unit.
        uram: UltraRAM blocks.
    """

    accelerator: Accelerator
    latency_ms: float
    dram_energy_mj: float
    resource_share: float
    dsp: int
    bram: float
    uram: int


@dataclasses.dataclass(frozen=True)
class Exploration:
    """What a search found; `str(exploration)` is a table.

    Attributes:
        best: The `Accelerator` with the least of the objective.
        estimate: Its `Estimate`.
        front: The designs that no other beats in latency, DRAM energy and resource share at once, a tuple of `Design`
            by ascending latency.
        objective: What was minimised, `"latency"` or `"energy"`.
        share: The share of the device's resources that a design might take.
        considered: How many designs the space has.
        too_large: How many of them take more than the share.
        untileable: How many of the others have a buffer that is too small for some layer.
    """

    best: Accelerator
    estimate: Estimate
    front: tuple
    objective: str
    share: float
    considered: int
    too_large: int
    untileable: int

    @property
    def estimated(self):
        """How many designs were estimated: all that fit the device and run the network."""
        return self.considered - self.too_large - self.untileable

    def to_json(self):
        """The search as a dict of plain values, for `json.dump`."""
        front = [
            {field.name: getattr(design, field.name) for field in dataclasses.fields(design)}
            | {"accelerator": design.accelerator.to_json()}
            for design in self.front
        ]
        counts = ("considered", "too_large", "untileable", "estimated")
        return {
            "objective": self.objective,
            "share": self.share,
            **{name: getattr(self, name) for name in counts},
            "estimate": self.estimate.to_json(),
            "front": front,
        }

    def __str__(self):
        return format_exploration(self)


def format_exploration(found):
    """The search as text: what was looked at, the best design, and the front, thinned out evenly where it is long."""
    number, lines = len(found.front), min(len(found.front), _MOST_LINES)
    header = ("latency ms", "DRAM mJ", "share", "DSP", "RAM blocks", "URAM", "design")
    rows = [header, *(_row(found.front[i * (number - 1) // max(1, lines - 1)]) for i in range(lines))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)) for row in rows]
    return "\n".join(
        [
            f"{found.considered} designs: {found.too_large} take more than {found.share:.0%} of the device, in "
            f"{found.untileable} a layer does not fit a buffer, {found.estimated} estimated",
            "",
            f"Least {found.objective}:",
            *summary(found.estimate),
            "",
            "No design is better in latency, DRAM energy and share of the device at once"
            + ("" if lines == number else f" ({lines} of {number})"),
            *(f"{line}  {row[-1]}" for line, row in zip(table, rows, strict=True)),
        ]
    )


def _row(design):
    figures = (f"{design.latency_ms:.3f}", f"{design.dram_energy_mj:.3f}", f"{design.resource_share:.0%}")
    return (*figures, str(design.dsp), f"{design.bram:g}", str(design.uram), design.accelerator.name)
