"""FPGA devices, as data."""

import dataclasses

_PLATFORMS = "AMD UG1393 and product tables; the platform tables of FINN and fpgaConvNet"


@dataclasses.dataclass(frozen=True)
class Device:
    """What an FPGA has.

    Attributes:
        name: Its key in `fpga.DEVICES`.
        part: The part and a board that carries it.
        family: `"stratix_v"`, `"arria_10"`, `"stratix_10"`, `"7_series"` or `"ultrascale+"`.
        logic: LUTs (AMD) or ALMs (Intel).
        block_ram: Memory blocks.
        block_ram_unit: `"BRAM36"` (36,864 bits) or `"M20K"` (20,480 bits).
        uram: UltraRAM blocks of 294,912 bits.
        dsp: DSP blocks or slices.
        dram_gb_per_s: Peak bandwidth of the board's memory where it is known; the accelerator's own figure is what
            counts.
        hard_memory_controller: Whether the chip brings a DRAM controller that takes no logic.
        source: Where the figures come from.
    """

    name: str
    part: str
    family: str
    logic: int
    block_ram: int
    block_ram_unit: str
    uram: int
    dsp: int
    dram_gb_per_s: float | None
    hard_memory_controller: bool
    source: str

    @property
    def logic_unit(self):
        """What `logic` counts."""
        return "ALM" if self.is_intel else "LUT"

    @property
    def is_intel(self):
        """Whether this is an Intel (Altera) part, with M20K blocks."""
        return self.block_ram_unit == "M20K"


def _amd(name, part, family, logic, bram36, uram, dsp, dram, hard):
    return Device(name, part, family, logic, bram36, "BRAM36", uram, dsp, dram, hard, _PLATFORMS)


def _intel(name, part, family, logic, m20k, dsp, source):
    return Device(name, part, family, logic, m20k, "M20K", 0, dsp, None, True, source)


DEVICES = {
    device.name: device
    for device in (
        _amd("xc7z020", "XC7Z020 (Pynq-Z2)", "7_series", 53_200, 140, 0, 220, 4.3, True),
        _amd("xc7z045", "XC7Z045 (ZC706)", "7_series", 218_600, 545, 0, 900, 12.8, True),
        _amd("xc7vx485t", "XC7VX485T (VC707)", "7_series", 303_600, 1030, 0, 2800, 12.8, False),
        _amd("xc7vx690t", "XC7VX690T (VC709)", "7_series", 433_000, 1470, 0, 3600, 25.6, False),
        _amd("zu3eg", "ZU3EG (Ultra96)", "ultrascale+", 70_560, 216, 0, 360, None, True),
        _amd("zu7ev", "ZU7EV (ZCU104)", "ultrascale+", 230_400, 312, 96, 1728, 19.2, True),
        _amd("zu9eg", "ZU9EG (ZCU102)", "ultrascale+", 274_080, 912, 0, 2520, 19.2, True),
        _amd("k26", "K26 (KV260)", "ultrascale+", 117_120, 144, 64, 1248, 19.2, True),
        _amd("xcvu9p", "XCVU9P (VCU1525)", "ultrascale+", 1_182_240, 2160, 960, 6840, 40.0, False),
        _amd("alveo_u250", "Alveo U250", "ultrascale+", 1_728_000, 2688, 1280, 12_288, 77.0, False),
        _amd("alveo_u280", "Alveo U280", "ultrascale+", 1_163_520, 1752, 960, 8496, 460.0, True),
        _intel("arria10_gx1150", "Arria 10 GX1150", "arria_10", 427_200, 2713, 1518, "Intel table 683461"),
        _intel("stratix10_gx2800", "Stratix 10 GX2800", "stratix_10", 933_120, 11_721, 5760, "Intel table 683674"),
        _intel(
            "stratixv_gxa7",
            "Stratix V GXA7",
            "stratix_v",
            234_720,
            2560,
            256,
            "Intel Stratix V device overview; ALM and M20K counts recalled, not read",
        ),
    )
}


def device(name):
    """A device by its name.

    Args:
        name: A key of `fpga.DEVICES`, or a `Device`, which is returned as it is.

    Returns:
        The `Device`.

    Raises:
        ValueError: If there is no device of that name; the known ones are listed.
    """
    if isinstance(name, Device):
        return name
    if name not in DEVICES:
        raise ValueError(f"`device` must be one of {', '.join(sorted(DEVICES))}. Received: device={name!r}")
    return DEVICES[name]
