"""The sections of the page, each made from the part of the run that it shows."""

from cgap_keras.report import chart, comparison, figures
from cgap_keras.report.descent import counts, family_tree
from cgap_keras.report.embed import inline_svg
from cgap_keras.report.history import edit_times, widths_over_time
from cgap_keras.report.lineage import lineage
from cgap_keras.report.markup import Column, number, pairs, section, table, text

_SIZES = (("wide", 7.6), ("narrow", 3.65))
# Up to this many groups, all family trees are open; beyond, each opens on request.
_MOST_OPEN = 6
_MOST_NAMED = 4

_KEY = """<ul class="key">
<li><svg viewBox="0 0 16 6"><path class="seed" d="M0 3H16"/></svg>seed unit</li>
<li><svg viewBox="0 0 16 6"><path class="grown" d="M0 3H16"/></svg>grown unit</li>
<li><svg viewBox="0 0 16 6"><path class="lost" d="M0 3H13"/><path class="gone" d="M13 3h0"/></svg>pruned unit</li>
</ul>
"""


def lede(summary):
    """The paragraph under the headline: the key figures in sentences."""
    dense, compact = summary["dense"], summary["compact"]
    difference = round(100 * (compact["accuracy"] - dense["accuracy"]), 2)
    beside = (
        "the same as" if difference == 0 else f"{abs(difference):.2f} points {'below' if difference < 0 else 'above'}"
    )
    sentences = [
        f"The compact network has {figures.count(compact['params'])} parameters where the dense one has "
        f"{figures.count(dense['params'])}, and a forward pass takes {figures.count(compact['macs'])} "
        f"multiply-accumulates instead of {figures.count(dense['macs'])} "
        f"({figures.fewer(dense['macs'], compact['macs'])}).",
        f"Its test accuracy is {beside} the dense network's {figures.accuracy(dense['accuracy'])}.",
    ]
    name, before, after = _smallest_file(summary)
    if name:
        sentences.append(f"As an {name} file it takes {figures.size(after)} instead of {figures.size(before)}.")
    return text(" ".join(sentences))


def tiles(summary):
    """The four figures that matter most, each with its change and a bar that shows compact / dense."""
    dense, compact = summary["dense"], summary["compact"]
    cells = [
        _tile("Test accuracy", dense["accuracy"], compact["accuracy"], figures.accuracy, figures.points),
        _tile("Parameters", dense["params"], compact["params"], figures.count),
        _tile("MACs a forward pass", dense["macs"], compact["macs"], figures.count),
    ]
    name, before, after = _smallest_file(summary)
    if name:
        cells.append(_tile(f"{name} file", before, after, figures.size))
    return f'<dl class="tiles">{"".join(cells)}</dl>'


def networks(summary):
    """The dense network beside the compact one."""
    rows = comparison.network_rows(summary) + comparison.file_rows(summary)
    return section("Dense and compact", _comparison(rows))


def growth(edits, initial_widths, epochs):
    """The chart of widths and parameters."""
    note = (
        "The width of each group of layers that share their units, in the order of the network, every row to its own "
        "scale; below, the parameters of the whole network."
    )
    label = f"Widths of {len(initial_widths)} groups over the epochs, from seed through peak to final width"
    charts = _charts(lambda inches: chart.widths_figure(edits, initial_widths, epochs, inches), "widths", label, edits)
    return section("How the network grew and shrank", charts, note=note)


def training(training_history, edits):
    """The chart of accuracy and loss."""
    note = "One point an epoch, at its end. The vertical lines are the edits: training goes on through them."
    label = "Accuracy and loss over the epochs, with the edits marked"
    charts = _charts(lambda inches: chart.training_figure(training_history, edits, inches), "training", label, edits)
    return section("Training", charts, note=note)


def edits_table(edits, initial_widths):
    """Every edit as a row."""
    widths = widths_over_time(edits, initial_widths)
    columns = [
        Column("After epoch", "slim"),
        Column("Edit", "kind"),
        Column("Units"),
        Column("Parameters"),
        Column("MACs"),
    ]
    columns += [Column("Cost"), Column("Where", "left wrap")]
    rows = [
        (
            edit.epoch,
            edit.kind,
            _course(edit.units_before, edit.units_after),
            _course(edit.params_before, edit.params_after),
            _course(edit.macs_before, edit.macs_after, figures.short_count),
            figures.duration(edit.seconds),
            _where(edit, {group: row[i] for group, row in widths.items()}),
        )
        for i, edit in enumerate(edits)
    ]
    total = figures.duration(sum(edit.seconds for edit in edits))
    return section("Edits", table(columns, rows), note=f"Edits: {len(edits)}. They took {total} together.")


def descent(edits, initial_widths, epochs):
    """The family tree of each group's units."""
    times = edit_times(edits)
    end = max([1, epochs or 0, *times])
    note = (
        "Every unit is a line from its birth to its end. A new unit comes from its parent, where its line branches "
        "off; a point is where a unit was pruned. Lines that reach the right edge are the network that came out."
    )
    families = lineage(edits, initial_widths).values()
    trees = [_family(family, times, end, len(families) <= _MOST_OPEN) for family in families]
    return section("Descent of the units", _KEY, *trees, note=note)


def files(summary):
    """Every exported file, with what was measured on it."""
    columns = [
        Column("Network"),
        Column("File", "path"),
        Column("Kind", "left"),
        Column("Bytes"),
        Column("Accuracy"),
        Column("Latency"),
    ]
    columns.append(Column("Largest error"))
    rows = [
        (
            side,
            entry.get("path", "-"),
            name,
            figures.count(entry.get("bytes")),
            figures.accuracy(entry.get("accuracy")),
            figures.measure(entry.get("latency_ms"), "ms"),
            figures.measure(entry.get("max_abs_error")),
        )
        for name in comparison.file_names(summary)
        for side in ("dense", "compact")
        if (entry := summary[side].get("files", {}).get(name))
    ]
    note = (
        "Accuracy and latency are those of the files themselves; the largest error is between a file's outputs and the "
        "Keras model's."
    )
    return section("Files", table(columns, rows), note=note)


def fpga(summary):
    """The FPGA estimates of the two networks."""
    note = (
        f"Estimated from a model of the accelerator, not measured on a board: {comparison.fpga_target(summary)}".rstrip(
            ": "
        )
        + "."
    )
    return section("On an FPGA", _comparison(comparison.fpga_rows(summary)), note=note)


def reproduction(summary):
    """What the run was made with, and the command that makes it again."""
    command = summary.get("command")
    shown = f"<pre><code>{text(command)}</code></pre>\n" if command else ""
    facts = [(key, summary[key]) for key in ("seed", "epochs") if key in summary]
    return section("To make this run again", shown, pairs([*facts, *_flat(summary.get("environment", {}))]))


def _comparison(rows):
    columns = [
        Column(""),
        Column("Dense"),
        Column("Compact", "strong"),
        Column("Change"),
        Column("Dense / compact", "ratio"),
    ]
    return table(columns, [(row.label, row.dense, row.compact, row.change, row.ratio) for row in rows])


def _tile(label, before, after, write, compare=figures.change):
    share = min(1.0, after / before) if before else 1.0
    return (
        f'<div><dt>{text(label)}</dt><dd class="now">{number(write(after))}</dd>'
        f'<dd class="was">{number(compare(before, after))}<br>dense {number(write(before))}</dd>'
        f'<dd class="bar" aria-hidden="true"><i style="width:{100 * share:.1f}%"></i></dd></div>'
    )


def _smallest_file(summary):
    """Kind, dense bytes and compact bytes of the compact network's smallest file; three `None` without files."""
    sizes = []
    for name in comparison.file_names(summary):
        before, after = (summary[side].get("files", {}).get(name, {}).get("bytes") for side in ("dense", "compact"))
        if figures.is_number(before) and figures.is_number(after):
            sizes.append((after, before, name))
    after, before, name = min(sizes, default=(None, None, None))
    return name, before, after


def _charts(draw, name, label, edits):
    titles = {f"edit-{i}": edit.describe() for i, edit in enumerate(edits)}
    drawn = [
        f'<div class="{size}">{inline_svg(draw(inches), f"{name}-{size}", label, titles)}</div>'
        for size, inches in _SIZES
    ]
    return f"<figure>{''.join(drawn)}</figure>"


def _family(family, times, end, is_open):
    head = f'<h3><code>{text(family.group)}</code></h3><span class="counts">{text(counts(family))}</span>'
    tree = f'{family_tree(family, times, end)}<div class="ends"><span>start</span><span>epoch {end:g}</span></div>'
    if is_open:
        return f'<div class="group"><div class="head">{head}</div>{tree}</div>\n'
    return f'<details class="group"><summary>{head}</summary>{tree}</details>\n'


def _course(before, after, write=figures.count):
    return f"{write(before)} → {write(after)}" if before != after else write(after)


def _where(edit, before):
    """The groups that an edit changed, with the units that came and went: `"conv2d +4, dense +2 −1"`."""
    changes = []
    for group, index in edit.plan.items():
        kept = len(set(index))
        came, went = len(index) - kept, before[group] - kept
        if came or went:
            changes.append(
                "\N{NO-BREAK SPACE}".join([group, *([f"+{came}"] if came else []), *([f"−{went}"] if went else [])])
            )
    return ", ".join(changes) if len(changes) <= _MOST_NAMED else f"{len(changes)} groups"


def _flat(values):
    return [(key, figures.plain(value)) for key, value in values.items()]
