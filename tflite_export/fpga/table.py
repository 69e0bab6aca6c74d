"""An estimate as a readable table."""


def format_estimate(estimate):
    """The estimate as text: a row a layer, then the totals.

    Args:
        estimate: An `Estimate`.

    Returns:
        A string of several lines.
    """
    header = ("layer", "kind", "MMACs", "kcycles", "weights KB", "in KB", "out KB", "us", "bound", "tile", "tiles")
    rows = [_row(layer) for layer in estimate.layers if layer.bound]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [_line(row, widths) for row in [header, *rows]]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], "", *summary(estimate)])


def _row(layer):
    tile = f"{layer.tile_rows}x{layer.tile_maps}" if layer.tile_rows else "streamed"
    kilo = (layer.cycles, layer.weight_bytes, layer.input_bytes, layer.output_bytes)
    numbers = (f"{layer.macs / 1e6:.2f}", *(f"{x / 1e3:.1f}" for x in kilo), f"{layer.latency_us:.1f}")
    return (layer.name, layer.kind, *numbers, layer.bound, tile, str(layer.tiles))


def _line(row, widths):
    text = (0, 1, 8)
    return "  ".join(
        cell.ljust(w) if i in text else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
    ).rstrip()


def summary(estimate):
    """The totals of an estimate, a list of lines."""
    used, accelerator = estimate.resources, estimate.accelerator
    low, high = estimate.dram_energy_range_mj
    lines = [
        f"{accelerator.name} on {estimate.device}: {estimate.mac_units} MAC units at {accelerator.clock_mhz:g} MHz, "
        f"{estimate.peak_gops:.0f} GOPS peak",
        f"latency      {estimate.latency_ms:.3f} ms, {estimate.throughput_gops:.1f} GOPS, "
        f"MAC utilisation {estimate.utilisation:.1%}, efficiency {estimate.efficiency:.1%}",
        f"DRAM         {estimate.dram_bytes / 1e6:.2f} MB: weights {estimate.weight_bytes / 1e6:.2f}, "
        f"feature maps {estimate.feature_map_bytes / 1e6:.2f}",
        f"energy       DRAM {estimate.dram_energy_mj:.3g} mJ ({low:.3g} to {high:.3g}), "
        f"arithmetic {estimate.mac_energy_mj:.3g} mJ and "
        f"buffers {estimate.buffer_energy_mj:.3g} mJ at 45 nm ASIC figures",
        f"resources    {used.dsp} DSP, {used.bram:g} {used.bram_unit}"
        + (f", {used.uram} URAM" if used.uram else "")
        + f", {used.lut} {used.lut_unit} (+-{used.lut_error:.0%})",
        f"fits         {'yes' if estimate.fits else 'no: ' + '; '.join(used.shortfalls)}",
    ]
    if estimate.interval_ms != estimate.latency_ms:
        lines.insert(2, f"interval     {estimate.interval_ms:.3f} ms, {estimate.frames_per_second:.1f} frames a second")
    lines += [f"warning      {warning}" for warning in used.warnings]
    if estimate.host_operations:
        lines.append(f"on the host  {', '.join(estimate.host_operations)}")
    return lines
