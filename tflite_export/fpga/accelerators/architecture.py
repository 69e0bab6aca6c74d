"""What every kind of accelerator does, so that one estimate serves all."""

import dataclasses
import typing

from tflite_export.fpga.resources import Resources


@dataclasses.dataclass(frozen=True)
class Run:
    """A network on an accelerator.

    Attributes:
        layers: A `LayerEstimate` for each layer, in the order of execution.
        latency_us: Time of one frame, from the first byte read to the last written, in microseconds.
        interval_us: Time after which the next frame is done, in microseconds.
        mac_units: Multiply-accumulates a cycle.
        mac_cycles: Cycles a frame in which the MAC units are given to layers that multiply.
    """

    layers: tuple
    latency_us: float
    interval_us: float
    mac_units: int
    mac_cycles: int


@typing.runtime_checkable
class Architecture(typing.Protocol):
    """What can be estimated: `Accelerator` and `Dataflow`.

    Attributes:
        name: What tables call it.
        clock_mhz: Its clock in MHz.
        weight_bits: Bits of a weight.
        activation_bits: Bits of a pixel.
        dram_type: Type of memory, a name in `fpga.MEMORIES`.
        dram_pj_per_bit: Energy of a transferred bit in pJ; `None` takes the type's.
        device: The device of its board, a name in `fpga.DEVICES`, or `None`.
    """

    name: str
    clock_mhz: float
    weight_bits: int
    activation_bits: int
    dram_type: str
    dram_pj_per_bit: float | None
    device: str | None

    def run(self, work) -> Run:
        """Runs a sequence of `Layer`."""

    def resources(self, work, device) -> Resources:
        """What it takes on a `Device` to run a sequence of `Layer`."""

    def to_json(self) -> dict:
        """The description as plain values."""
