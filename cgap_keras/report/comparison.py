"""The dense network beside the compact one: the rows of the comparison, in words, for a terminal."""

import dataclasses

from cgap_keras.report import figures

# key of an FPGA estimate -> (label, unit, how the value is written)
_FPGA = {
    "latency_ms": ("Latency", "ms", figures.measure),
    "fps": ("Throughput", "images/s", figures.measure),
    "macs": ("MACs", "", figures.count),
    "utilisation": ("MAC array in use", "", figures.accuracy),
    "dram_bytes": ("DRAM traffic", "", figures.size),
    "dram_energy_mj": ("DRAM energy", "mJ", figures.measure),
    "dsp": ("DSP blocks", "", figures.count),
    "bram": ("RAM blocks", "", figures.count),
    "uram": ("UltraRAM blocks", "", figures.count),
    "lut": ("LUTs or ALMs", "", figures.count),
}
_REQUIRED = ("accuracy", "params", "macs")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the comparison, as text: what is compared, the two values, the change, and dense / compact."""

    label: str
    dense: str
    compact: str
    change: str
    ratio: str


def check_summary(summary):
    """Raises a `ValueError` unless the summary has what every report needs."""
    for key in ("dataset", "model", "dense", "compact"):
        if key not in summary:
            raise ValueError(f"`summary` must have the key {key!r}. Received: summary with the keys {list(summary)}")
    for side in ("dense", "compact"):
        for key in _REQUIRED:
            name, value = f"summary[{side!r}][{key!r}]", summary[side].get(key)
            if not figures.is_number(value):
                raise ValueError(f"`{name}` must be a number. Received: {name}={value!r}")


def network_rows(summary):
    """The rows about the two networks themselves: accuracy, parameters, MACs, training time."""
    dense, compact = summary["dense"], summary["compact"]
    rows = [_row("Test accuracy", dense, compact, "accuracy", figures.accuracy, points=True)]
    rows.append(_row("Parameters", dense, compact, "params", figures.count))
    rows.append(_row("MACs a forward pass", dense, compact, "macs", figures.count))
    if "seconds" in dense or "seconds" in compact:
        rows.append(_row("Training time", dense, compact, "seconds", figures.duration))
    return rows


def file_rows(summary):
    """The rows about the exported files: for each kind of file its size, accuracy and latency where they are known."""
    rows = []
    for name in file_names(summary):
        dense, compact = (summary[side].get("files", {}).get(name, {}) for side in ("dense", "compact"))
        rows.append(_row(f"{name} file", dense, compact, "bytes", figures.size))
        if "accuracy" in dense or "accuracy" in compact:
            rows.append(_row(f"{name} accuracy", dense, compact, "accuracy", figures.accuracy, points=True))
        if "latency_ms" in dense or "latency_ms" in compact:
            rows.append(
                _row(f"{name} latency", dense, compact, "latency_ms", lambda value: figures.measure(value, "ms"))
            )
    return rows


def fpga_rows(summary):
    """The rows of the FPGA estimates: the known figures with their units, any other number under its own key."""
    dense, compact = (summary[side].get("fpga") or {} for side in ("dense", "compact"))
    keys = list(dict.fromkeys([key for key in _FPGA if key in dense or key in compact] + [*dense, *compact]))
    rows = []
    for key in keys:
        if not any(figures.is_number(side.get(key)) for side in (dense, compact)):
            continue
        label, unit, write = _FPGA.get(key, (key.replace("_", " "), "", figures.plain))
        text = (lambda value, unit=unit: figures.measure(value, unit)) if write is figures.measure else write
        rows.append(_row(label, dense, compact, key, text))
    return rows


def file_names(summary):
    """The kinds of exported files of either network (`"float32"`, `"int8"`), in the order in which they appear."""
    return list(dict.fromkeys([*summary["dense"].get("files", {}), *summary["compact"].get("files", {})]))


def fpga_target(summary):
    """Accelerator and device of the FPGA estimate in words, or an empty text."""
    fpga = summary["compact"].get("fpga") or summary["dense"].get("fpga") or {}
    return " on ".join(str(fpga[key]) for key in ("accelerator", "device") if fpga.get(key))


def title(summary):
    """What the run was, in a few words: `"LeNet-5 on MNIST"`."""
    return f"{summary['model']} on {summary['dataset']}"


def headline(summary):
    """The result of the run in one sentence."""
    dense, compact = summary["dense"], summary["compact"]
    return (
        f"{title(summary)}: {figures.accuracy(compact['accuracy'])} test accuracy with "
        f"{figures.fewer(dense['params'], compact['params'])} parameters"
    )


def summary_table(summary):
    """The comparison of a run as a plain-text table.

    Args:
        summary: The dict that a run writes: `"dataset"`, `"model"`, and under `"dense"` and `"compact"` at least
            `"accuracy"` (between 0 and 1), `"params"` and `"macs"`; `"seconds"`, `"files"` and `"fpga"` where they are
            known.

    Returns:
        Lines of text without a newline at the end: one row a figure, with columns for dense, compact, change, and dense
        / compact.

    Raises:
        ValueError: If one of the figures that every report needs is missing.

    Example:

    ```python
    print(summary_table(json.loads(pathlib.Path("summary.json").read_text())))
    ```
    """
    check_summary(summary)
    header = ("", "dense", "compact", "change", "dense / compact")
    rows = [dataclasses.astuple(row) for row in network_rows(summary) + file_rows(summary)]
    fpga = [dataclasses.astuple(row) for row in fpga_rows(summary)]
    widths = [max(len(row[i]) for row in [header, *rows, *fpga]) for i in range(len(header))]
    facts = [f"{key} {summary[key]}" for key in ("seed", "epochs") if key in summary]
    lines = [
        ", ".join([title(summary), *facts]),
        "",
        _line(header, widths),
        _line(["-" * width for width in widths], widths),
    ]
    lines += [_line(row, widths) for row in rows]
    if fpga:
        lines += ["", f"FPGA estimate: {fpga_target(summary)}".rstrip(": "), *(_line(row, widths) for row in fpga)]
    return "\n".join(lines)


def _line(cells, widths):
    first = cells[0].ljust(widths[0])
    others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([first, *others]).rstrip()


def _row(label, dense, compact, key, write, points=False):
    before, after = dense.get(key), compact.get(key)
    if points:
        return Row(label, write(before), write(after), figures.points(before, after), "")
    return Row(label, write(before), write(after), figures.change(before, after), figures.ratio(before, after))
