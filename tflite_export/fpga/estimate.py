"""What a network costs on an accelerator: time, memory traffic, energy and resources."""

import collections.abc
import dataclasses

from tflite_export.fpga import energy
from tflite_export.fpga.accelerators.architecture import Architecture
from tflite_export.fpga.accelerators.presets import accelerator as find_accelerator
from tflite_export.fpga.devices import device as find_device
from tflite_export.fpga.loops.layer import Layer
from tflite_export.fpga.loops.workload import workload
from tflite_export.fpga.resources import Resources
from tflite_export.fpga.table import format_estimate


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a network costs on an accelerator; `str(estimate)` is a table.

    Attributes:
        accelerator: The `Accelerator` or `Dataflow`.
        device: The name of the device.
        layers: A `LayerEstimate` for each layer, in the order of execution.
        latency_ms: Time of one inference in milliseconds, batch 1. An `Accelerator` runs layer after layer.
        interval_ms: Time from one frame to the next in milliseconds, where frames follow each other: the latency of
            an `Accelerator`, the slowest layer's time in a `Dataflow`.
        mac_units: Multiply-accumulates a cycle.
        mac_cycles: Cycles a frame in which the MAC units are given to layers that multiply.
        host_operations: The names of the operations that run on the host, outside this estimate.
        resources: The `Resources`.
        dram_energy_mj: Energy of the DRAM traffic of one inference, in millijoules.
        dram_energy_range_mj: The range that the memory's uncertainty spans.
        row_activations: An upper bound of the DRAM rows opened.
        mac_energy_mj: Energy of the arithmetic at 45 nm ASIC figures; an FPGA takes several times as much.
        buffer_energy_mj: Energy of reading the on-chip buffers, likewise.
    """

    accelerator: Architecture
    device: str
    layers: tuple
    latency_ms: float
    interval_ms: float
    mac_units: int
    mac_cycles: int
    host_operations: tuple
    resources: Resources
    dram_energy_mj: float
    dram_energy_range_mj: tuple
    row_activations: int
    mac_energy_mj: float
    buffer_energy_mj: float

    def _total(self, field):
        return sum(getattr(layer, field) for layer in self.layers)

    @property
    def frames_per_second(self):
        """Frames a second, where they follow each other."""
        return 1e3 / self.interval_ms if self.interval_ms else 0.0

    @property
    def macs(self):
        """Multiply-accumulates."""
        return self._total("macs")

    @property
    def throughput_gops(self):
        """Achieved throughput in 10^9 operations a second, two a multiply-accumulate."""
        return 2e-6 * self.macs / self.interval_ms if self.interval_ms else 0.0

    @property
    def peak_gops(self):
        """Peak throughput, a multiply-accumulate counted as two operations."""
        return 2e-3 * self.mac_units * self.accelerator.clock_mhz

    @property
    def utilisation(self):
        """Useful multiply-accumulates over `cycles * MAC units` in the layers that multiply."""
        return self.macs / (self.mac_cycles * self.mac_units) if self.mac_cycles else 0.0

    @property
    def efficiency(self):
        """Achieved over peak throughput, memory and overheads included."""
        return self.throughput_gops / self.peak_gops if self.peak_gops else 0.0

    @property
    def weight_bytes(self):
        """DRAM traffic of weights and biases in bytes."""
        return self._total("weight_bytes")

    @property
    def feature_map_bytes(self):
        """DRAM traffic of feature maps in bytes, reads and writes."""
        return self._total("input_bytes") + self._total("output_bytes")

    @property
    def dram_bytes(self):
        """All DRAM traffic in bytes."""
        return self.weight_bytes + self.feature_map_bytes

    @property
    def dsp(self):
        """DSP blocks."""
        return self.resources.dsp

    @property
    def bram(self):
        """Memory blocks, in the device's unit (`resources.bram_unit`)."""
        return self.resources.bram

    @property
    def lut(self):
        """LUTs or ALMs (`resources.lut_unit`), from a linear fit."""
        return self.resources.lut

    @property
    def lut_error(self):
        """Relative error of `lut`."""
        return self.resources.lut_error

    @property
    def device_share(self):
        """What part of the device the scarcest resource takes."""
        return self.resources.share

    @property
    def fits(self):
        """Whether the accelerator fits the device; `resources.shortfalls` says what does not."""
        return not self.resources.shortfalls

    def to_json(self):
        """The estimate as a dict of plain values, for `json.dump`."""
        totals = (
            "latency_ms",
            "interval_ms",
            "frames_per_second",
            "macs",
            "throughput_gops",
            "utilisation",
            "efficiency",
            "dram_bytes",
            "weight_bytes",
            "feature_map_bytes",
        )
        energies = ("dram_energy_mj", "row_activations", "mac_energy_mj", "buffer_energy_mj")
        return {
            "accelerator": self.accelerator.to_json(),
            "device": self.device,
            **{name: getattr(self, name) for name in totals + energies},
            "dram_energy_range_mj": list(self.dram_energy_range_mj),
            "fits": self.fits,
            "resources": {
                key: list(x) if isinstance(x, tuple) else x for key, x in dataclasses.asdict(self.resources).items()
            },
            "host_operations": list(self.host_operations),
            "layers": [dataclasses.asdict(layer) | {"dram_bytes": layer.dram_bytes} for layer in self.layers],
        }

    def __str__(self):
        return format_estimate(self)


def estimate(model, accelerator, device=None):
    """Estimates what one inference costs on an FPGA accelerator, before any synthesis.

    On an `Accelerator` layers run one after the other, each cut into tiles that fit the buffers, its feature maps read
    from DRAM and written back. On a `Dataflow` all layers run at once, and only the input and the output pass through
    DRAM. The formulas and what they leave out are in `docs/fpga.md`.

    Args:
        model: A functional or Sequential `keras.Model`, the path of a .tflite file, or what `workload` returned.
        accelerator: An `Accelerator`, the name of a published one in `fpga.ACCELERATORS`, or a `Dataflow`.
        device: A name in `fpga.DEVICES`, or a `Device`. Defaults to the accelerator's own device.

    Returns:
        An `Estimate`.

    Raises:
        ValueError: If the model has operations that the accelerator does not run, a layer's smallest tile does not fit
            a buffer, the folding of a `Dataflow` does not divide, or a name is not known. That the accelerator does not
            fit the device is no error but `Estimate.fits`.

    Example:

    ```python
    estimate = fpga.estimate(model, "ma_arria10_200mhz")
    print(estimate.latency_ms, estimate.dram_bytes)
    print(estimate)
    ```
    """
    accelerator = find_accelerator(accelerator)
    device, work = device_of(accelerator, device), loop_nests(model)
    run = accelerator.run(work)
    descriptors, num_bytes = (sum(getattr(row, x) for row in run.layers) for x in ("descriptors", "dram_bytes"))
    dram, low, high = energy.dram_energy(num_bytes, descriptors, accelerator)
    mac_pj = energy.mac_energy_pj(accelerator.weight_bits, accelerator.activation_bits)
    return Estimate(
        accelerator=accelerator,
        device=device.name,
        layers=run.layers,
        latency_ms=run.latency_us / 1e3,
        interval_ms=run.interval_us / 1e3,
        mac_units=run.mac_units,
        mac_cycles=run.mac_cycles,
        host_operations=tuple(layer.name for layer in work if layer.kind == "host"),
        resources=accelerator.resources(work, device),
        dram_energy_mj=dram,
        dram_energy_range_mj=(low, high),
        row_activations=energy.row_activations(num_bytes, descriptors, accelerator),
        mac_energy_mj=sum(row.macs for row in run.layers) * mac_pj * 1e-9,
        buffer_energy_mj=sum(row.buffer_mj for row in run.layers),
    )


def loop_nests(model):
    """The workload of a model; a workload is returned as it is."""
    return model if _is_workload(model) else workload(model)


def device_of(accelerator, device=None):
    """The `Device` that is asked for, or the accelerator's own."""
    if device is None and accelerator.device is None:
        raise ValueError(
            "The accelerator names no device, so `device` must be given: a name in `fpga.DEVICES`. "
            f"Received: accelerator={accelerator.name!r}, device=None"
        )
    return find_device(accelerator.device if device is None else device)


def _is_workload(model):
    return (
        isinstance(model, collections.abc.Sequence)
        and not isinstance(model, str)
        and all(isinstance(x, Layer) for x in model)
    )
