"""A streaming dataflow: an engine a layer, all of them running at once, with the weights on chip."""

import dataclasses
import math
from collections.abc import Mapping

from tflite_export.fpga import energy
from tflite_export.fpga.accelerators.accelerator import check_choice, check_number, is_count
from tflite_export.fpga.accelerators.architecture import Run
from tflite_export.fpga.accelerators.engine import Engine, latency_cycles, place_memories
from tflite_export.fpga.accelerators.per_layer import LayerEstimate
from tflite_export.fpga.accelerators.unroll import FrozenMapping
from tflite_export.fpga.estimate import device_of, loop_nests
from tflite_export.fpga.loops.layer import FREE_KINDS
from tflite_export.fpga.resources import judged, macs_per_dsp

MULTIPLIERS = ("dsp", "logic")
# Assumed: FINN gives none. CNV with 1-bit weights, the one design that was compared, is within 3 %.
LUT_ERROR = 0.35


@dataclasses.dataclass(frozen=True)
class Dataflow:
    """An accelerator with an engine for each layer of one network, as FINN builds them.

    Feature maps stream from engine to engine, weights stay in memories of their engine, and the engines work on
    neighbouring rows, or frames, at the same time. A layer takes `(MH / PE) * (MW / SIMD) * pixels` cycles a frame,
    where `MH` is the number of output maps and `MW` the products of one output pixel (kernel times input maps), or as
    many as its input takes to come in. The slowest layer sets the interval between frames.

    The latency is an estimate of our own: engines start one after the other, each when the pixels of its first window
    are there, which the engine before it puts out evenly over its time, and each ends no sooner than one output pixel
    after the engine before it. The layers are taken as a chain in the order of execution, so that parallel branches
    add up.

    Not counted are the FIFOs between engines, also those that hold the short branch of a residual block, biases and
    activations, and the memory's own time for input and output.

    Args:
        name: What tables call it.
        clock_mhz: Clock in MHz.
        weight_bits: Bits of a weight.
        activation_bits: Bits of a pixel of a feature map.
        folding: A dict from a layer's name to `(PE, SIMD)`: how many output maps, and how many products of each, are
            computed at once. `PE` has to divide `MH` and `SIMD` has to divide `MW`, as FINN demands. A layer that is
            not named takes (1, 1). `fold` finds a folding.
        multipliers: What multiplies: `"dsp"` blocks or `"logic"`.
        dram_type: Type of memory that holds input and output, for energy: a name in `fpga.MEMORIES`.
        dram_pj_per_bit: Energy of a transferred bit in pJ; `None` takes the type's.
        device: The device of the board, for `estimate`; a name in `fpga.DEVICES`.
        source: Where the description comes from.

    Raises:
        ValueError: If a field is out of its range. Whether the folding divides is known once there is a network.
        TypeError: If `folding` is no dict.

    Example:

    ```python
    dataflow = Dataflow(name="mine", clock_mhz=200.0, weight_bits=4, activation_bits=4, device="zu9eg")
    estimate = estimate(model, fold(model, dataflow))
    estimate.frames_per_second, estimate.latency_ms
    ```

    Sources: Umuroglu et al., "FINN", FPGA 2017; Blott et al., "FINN-R", ACM TRETS 11(3), 2018.
    """

    name: str
    clock_mhz: float
    weight_bits: int
    activation_bits: int
    folding: Mapping = dataclasses.field(default_factory=dict)
    multipliers: str = "dsp"
    dram_type: str = "ddr3"
    dram_pj_per_bit: float | None = None
    device: str | None = None
    source: str = ""

    def __post_init__(self):
        check_number("clock_mhz", self.clock_mhz, lambda x: x > 0, "a positive number")
        for field in ("weight_bits", "activation_bits"):
            check_number(field, getattr(self, field), is_count, "a positive int")
        if self.dram_pj_per_bit is not None:
            check_number("dram_pj_per_bit", self.dram_pj_per_bit, lambda x: x >= 0, "at least 0, or None")
        check_choice("multipliers", self.multipliers, MULTIPLIERS)
        check_choice("dram_type", self.dram_type, tuple(energy.MEMORIES))
        object.__setattr__(self, "folding", _folding(self.folding))

    def engines(self, work):
        """The engine of each layer that costs anything.

        Args:
            work: A sequence of `Layer`.

        Returns:
            A tuple of `Engine`.

        Raises:
            ValueError: If a folding does not divide its layer, or names no layer of the network.
        """
        layers = [layer for layer in work if layer.kind not in FREE_KINDS]
        names = {layer.name for layer in layers}
        for name in self.folding:
            if name not in names:
                raise ValueError(
                    f"`folding` names {name!r}, which is no layer of the network; the layers are "
                    f"{', '.join(sorted(names))}. Received: folding={self.folding}"
                )
        widths = self.weight_bits, self.activation_bits, self.multipliers == "logic"
        return tuple(Engine(layer, *self.folding.get(layer.name, (1, 1)), *widths) for layer in layers)

    def run(self, work):
        """Runs a network, all layers at once.

        Args:
            work: A sequence of `Layer`.

        Returns:
            A `Run`.

        Raises:
            ValueError: As `engines` does.
        """
        engines = self.engines(work)
        interval = max((engine.cycles for engine in engines), default=0)
        remaining, rows = iter(engines), []
        for layer in work:
            if layer.kind in FREE_KINDS:
                rows.append(LayerEstimate(layer.name, layer.kind))
            else:
                engine = next(remaining)
                ends = engine is engines[0], engine is engines[-1]
                rows.append(self._row(engine, engine.cycles == interval, *ends))
        units = sum(engine.multipliers for engine in engines)
        us = latency_cycles(engines) / self.clock_mhz
        return Run(tuple(rows), us, interval / self.clock_mhz, units, interval if units else 0)

    def _row(self, engine, slowest, first, last):
        layer, pixel_bytes = engine.layer, self.activation_bits / 8
        return LayerEstimate(
            name=layer.name,
            kind=layer.kind,
            macs=layer.macs,
            cycles=engine.cycles,
            input_bytes=math.ceil(layer.input_elements * pixel_bytes) if first else 0,
            output_bytes=math.ceil(layer.output_elements * pixel_bytes) if last else 0,
            descriptors=first + last,
            latency_us=engine.cycles / self.clock_mhz,
            bound="interval" if slowest else "compute",
            tiles=1,
            buffer_mj=engine.buffer_mj,
        )

    def resources(self, work, device):
        """What the engines take on a device.

        Multipliers, DSP blocks as `macs_per_dsp` says or LUTs; a memory of weights an engine and the rows that wait
        for their window; logic by FINN's formulas. On an Intel device a LUT is taken as an ALM.

        Args:
            work: A sequence of `Layer`.
            device: A `Device`.

        Returns:
            `Resources`.

        Raises:
            ValueError: As `engines` does.
        """
        return self._resources(self.engines(work), device)

    def _resources(self, engines, device):
        units = sum(engine.multipliers for engine in engines)
        per_block = macs_per_dsp(device.family, self.weight_bits, self.activation_bits)
        in_dsp = self.multipliers == "dsp"
        dsp = sum(math.ceil(engine.multipliers / per_block) for engine in engines) if in_dsp else 0
        bram, uram = place_memories([shape for engine in engines for shape in engine.memories], device)
        lut = math.ceil(sum(engine.lut for engine in engines))
        return judged(device, dsp, bram, uram, lut, LUT_ERROR, 0 if in_dsp else units)

    def to_json(self):
        """The description as a dict of plain values, for `json.dump`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return values | {"folding": {name: list(pair) for name, pair in self.folding.items()}}


def fold(model, dataflow, device=None, routable=True):
    """Balances the engines of a dataflow: the slowest is widened, again and again, until the device is full.

    A step takes the narrowest engine that is faster, or, if that does not fit, the next. It ends where the slowest
    engine cannot be widened, since widening others gains nothing. Where multipliers are what is short, no folding has
    a shorter interval. The idea is that of the folding passes of FINN and fpgaConvNet.

    Args:
        model: A functional or Sequential `keras.Model`, the path of a .tflite file, or what `workload` returned.
        dataflow: A `Dataflow`; its own folding is not looked at.
        device: A name in `fpga.DEVICES`, or a `Device`. Defaults to the dataflow's own device.
        routable: Whether to stop at the shares of the device up to which designs usually route (70 % of the logic,
            80 % of DSP and block RAM), or to fill the device.

    Returns:
        The `Dataflow` with the folding.

    Raises:
        ValueError: If the network does not fit the device with one multiplier a layer.
    """
    work, device = loop_nests(model), device_of(dataflow, device)
    options = [engine.alternatives() for engine in dataclasses.replace(dataflow, folding={}).engines(work)]
    engines = [narrowest for narrowest, *_ in options]

    def obstacles(trial):
        used = dataflow._resources(trial, device)
        return used.shortfalls + (used.warnings if routable else ())

    if obstacles(engines):
        raise ValueError(
            f"The network does not fit {device.name} with one multiplier a layer: {'; '.join(obstacles(engines))}. "
            f"Take a larger device, or fewer bits. Received: device={device.name!r}, routable={routable}"
        )
    while engines:
        slowest = max(range(len(engines)), key=lambda i: engines[i].cycles)
        faster = [engine for engine in options[slowest] if engine.cycles < engines[slowest].cycles]
        trials = ([_widened(each, engine) for each in engines] for engine in faster)
        fitting = next((trial for trial in trials if not obstacles(trial)), None)
        if fitting is None:
            break
        engines = fitting
    return dataclasses.replace(dataflow, folding={e.layer.name: (e.pe, e.simd) for e in engines})


def _widened(engine, other):
    # A layer that is called twice has two engines, with one name and one folding.
    same = engine.layer.name == other.layer.name
    return dataclasses.replace(engine, pe=other.pe, simd=other.simd) if same else engine


def _folding(folding):
    if not isinstance(folding, Mapping):
        raise TypeError(f"`folding` must be a dict from a layer's name to (PE, SIMD). Received: folding={folding!r}")
    for name, pair in folding.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(type(n) is int and n > 0 for n in pair):
            raise ValueError(
                f"`folding[{name!r}]` must be (PE, SIMD), two positive ints. Received: folding={dict(folding)}"
            )
    return FrozenMapping((name, tuple(pair)) for name, pair in folding.items())
