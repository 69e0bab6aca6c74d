"""An accelerator: an unrolled array of MAC units, three buffers and a memory port."""

import dataclasses
import math

from tflite_export.fpga.accelerators.architecture import Run
from tflite_export.fpga.accelerators.per_layer import layer_estimate
from tflite_export.fpga.accelerators.systolic import Systolic
from tflite_export.fpga.accelerators.unroll import Unroll
from tflite_export.fpga.energy import MEMORIES
from tflite_export.fpga.resources import resources

TILINGS = ("traffic", "time")
TILE_ORDERS = ("best", "maps", "rows")
POSITIVE = ("clock_mhz", "dram_gb_per_s", "input_buffer_kib", "weight_buffer_kib", "output_buffer_kib")
WIDTHS = ("weight_bits", "activation_bits", "bias_bits", "dma_bits", "dsp_clock_ratio")
FRACTIONS = ("dram_efficiency", "compute_efficiency")
NOT_NEGATIVE = ("layer_overhead_us", "descriptor_gap_bytes", "extra_dsp")
# The field that describes the unit which runs a kind of layer, for all kinds but convolutions.
UNROLLS = {
    "depthwise": "depthwise_unroll",
    "pool": "pool_unroll",
    "elementwise": "pool_unroll",
    "upsample": "pool_unroll",
    "fully_connected": "fully_connected_unroll",
}


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """A convolution accelerator with its board's memory, described by the sizes that decide its speed.

    One description serves every network: nothing here belongs to a layer or a model. A loop that `unroll` does not
    name runs one iteration a cycle. Buffers are counted once here and built twice on the chip (one half is filled
    while the other is used).

    Args:
        name: What tables call it.
        unroll: Unroll factors of the convolution loops, from `of`, `if`, `ox`, `oy`, `kx`, `ky`, or `oxy` (output
            pixels as one loop). Their product is the number of MAC units. Or a `Systolic` array.
        clock_mhz: Clock of the array in MHz.
        weight_bits: Bits of a weight.
        activation_bits: Bits of a pixel of a feature map.
        dram_gb_per_s: Peak bandwidth of the DRAM in GB/s (10^9 bytes).
        input_buffer_kib: Capacity for input pixels in KiB, of one of the two halves.
        weight_buffer_kib: Capacity for weights in KiB, of one half.
        output_buffer_kib: Capacity for output pixels in KiB, of one half.
        layer_overhead_us: Time in microseconds that each layer costs beside its tiles (instructions, configuration).
        dram_efficiency: Share of the peak bandwidth that long transfers reach, 0 to 1.
        dma_bits: Width of the memory port; it moves that much a clock cycle in each direction.
        duplex: Whether reads and writes move at the same time, each at the full effective bandwidth; otherwise they
            share it.
        descriptor_gap_bytes: Bandwidth lost at the start of each DMA descriptor, in bytes.
        bias_bits: Bits of a bias.
        floating_point: Whether weights and activations are floating-point numbers, for the DSP blocks of a MAC unit.
        compute_efficiency: Share of the cycles in which the array is not stalled by its control, 0 to 1.
        output_words_per_cycle: How many results leave the array a cycle; a convolution with a short sum then waits
            for them. `None` sets no limit; a systolic array accepts no other.
        depthwise_unroll: Unroll factors in depthwise layers. `None`: the array shares its pixels between output maps,
            so one map runs at a time, with the pixel and kernel loops unrolled as in `unroll`; a systolic array
            likewise takes one map at a time.
        pool_unroll: Unroll factors of pooling, elementwise and upsampling units. `None`: `of`, `ox`, `oy`, `oxy` of
            `unroll`, or as many maps as a systolic array has columns.
        fully_connected_unroll: Unroll factors in fully connected layers. `None`: `of` and `if` of `unroll`, or the
            systolic array.
        tiling: `"traffic"` takes the tiles with the least DRAM traffic and the fastest among these; `"time"` the
            fastest, and the least traffic among these.
        tile_order: What stays on chip when neither pixels nor weights fit: `"maps"` keeps the weights of a tile of
            maps and reads the pixels again for each, `"rows"` keeps rows of pixels and reads the weights again,
            `"best"` lets each layer choose.
        dram_type: Type of memory, for energy: a name in `fpga.MEMORIES`.
        dram_pj_per_bit: Energy of a transferred bit in pJ; `None` takes the type's.
        dsp_clock_ratio: Clock of the DSP blocks over the array's (2 where they are double-pumped).
        extra_dsp: DSP blocks beside those that multiply (accumulators, address units).
        logic_macs: Whether MAC units for which the device has no DSP block are built from logic.
        device: The device of the board, for `estimate`; a name in `fpga.DEVICES`.
        source: Where the description comes from.

    Raises:
        ValueError: If a field is out of its range.
        TypeError: If an unroll is no dict.

    Example:

    ```python
    accelerator = Accelerator(name="mine", unroll={"of": 16, "ox": 14, "oy": 14}, clock_mhz=200.0, weight_bits=8,
        activation_bits=8, dram_gb_per_s=12.8, input_buffer_kib=512, weight_buffer_kib=512, output_buffer_kib=512)
    accelerator.mac_units  # 3136
    ```

    The parameters are those of Ma et al., "Performance Modeling for CNN Inference Accelerators on FPGA", IEEE TCAD
    2020.
    """

    name: str
    unroll: Unroll | Systolic
    clock_mhz: float
    weight_bits: int
    activation_bits: int
    dram_gb_per_s: float
    input_buffer_kib: float
    weight_buffer_kib: float
    output_buffer_kib: float
    layer_overhead_us: float = 0.0
    dram_efficiency: float = 0.70
    dma_bits: int = 512
    duplex: bool = True
    descriptor_gap_bytes: int = 32
    bias_bits: int = 32
    floating_point: bool = False
    compute_efficiency: float = 1.0
    output_words_per_cycle: int | None = None
    depthwise_unroll: Unroll | None = None
    pool_unroll: Unroll | None = None
    fully_connected_unroll: Unroll | None = None
    tiling: str = "traffic"
    tile_order: str = "best"
    dram_type: str = "ddr3"
    dram_pj_per_bit: float | None = None
    dsp_clock_ratio: int = 1
    extra_dsp: int = 0
    logic_macs: bool = False
    device: str | None = None
    source: str = ""

    def __post_init__(self):
        if not isinstance(self.unroll, Systolic):
            object.__setattr__(self, "unroll", Unroll(self.unroll))
        for field in sorted(set(UNROLLS.values())):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, Unroll(getattr(self, field), field))
        self._check_numbers()
        check_choice("tiling", self.tiling, TILINGS)
        check_choice("tile_order", self.tile_order, TILE_ORDERS)
        check_choice("dram_type", self.dram_type, tuple(MEMORIES))

    def _check_numbers(self):
        for field in POSITIVE:
            check_number(field, getattr(self, field), lambda x: x > 0, "a positive number")
        for field in WIDTHS:
            check_number(field, getattr(self, field), is_count, "a positive int")
        for field in FRACTIONS:
            check_number(field, getattr(self, field), lambda x: 0 < x <= 1, "above 0 and at most 1")
        for field in NOT_NEGATIVE:
            check_number(field, getattr(self, field), lambda x: x >= 0, "at least 0")
        if self.output_words_per_cycle is not None:
            check_number("output_words_per_cycle", self.output_words_per_cycle, is_count, "a positive int, or None")
            self.unroll.drain(self.output_words_per_cycle)
        if self.dram_pj_per_bit is not None:
            check_number("dram_pj_per_bit", self.dram_pj_per_bit, lambda x: x >= 0, "at least 0, or None")

    @property
    def mac_units(self):
        """Multiply-accumulates a cycle."""
        return self.unroll.units

    @property
    def peak_gops(self):
        """Peak throughput, a multiply-accumulate counted as two operations."""
        return 2e-3 * self.mac_units * self.clock_mhz

    @property
    def bytes_per_us(self):
        """Effective bandwidth in bytes a microsecond: `min(port width * clock, DRAM peak * efficiency)`."""
        return min(self.dma_bits / 8 * self.clock_mhz, self.dram_gb_per_s * 1e3 * self.dram_efficiency)

    def unroll_for(self, kind):
        """The unroll factors, or the systolic array, under which a kind of layer runs."""
        own = getattr(self, UNROLLS[kind]) if kind in UNROLLS else None
        return self.unroll.for_kind(kind) if own is None else own

    def run(self, work):
        """Runs a network layer after layer, one frame after the other.

        Args:
            work: A sequence of `Layer`.

        Returns:
            A `Run`.

        Raises:
            ValueError: If a layer's smallest tile does not fit a buffer.
        """
        rows = tuple(layer_estimate(layer, self) for layer in work)
        us, cycles = sum(row.latency_us for row in rows), sum(row.cycles for row in rows if row.macs)
        return Run(rows, us, us, self.mac_units, cycles)

    def resources(self, work, device):
        """The `Resources` on a device; the same for every network."""
        return resources(self, device)

    def to_json(self):
        """The description as a dict of plain values, for `json.dump`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {key: value.to_json() if hasattr(value, "to_json") else value for key, value in values.items()}


def is_count(value):
    """Whether a value is a positive int."""
    return isinstance(value, int) and value >= 1


def check_number(field, value, accepts, expected):
    """Refuses a field that is no finite number, or not accepted."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not accepts(value):
        raise ValueError(f"`{field}` must be {expected}. Received: {field}={value!r}")


def check_choice(field, value, choices):
    """Refuses a field that is none of its choices."""
    if value not in choices:
        raise ValueError(f"`{field}` must be one of {', '.join(choices)}. Received: {field}={value!r}")
