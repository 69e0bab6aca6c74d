"""Charts of a run: how wide each group was, how many parameters the network had, and how well it did."""

import itertools
import pathlib

from cgap_keras.report import figures, palette
from cgap_keras.report.canvas import Canvas, legend, render, value_axis
from cgap_keras.report.files import write_atomically
from cgap_keras.report.history import as_edits, edit_times, widths_over_time

# Up to this many groups each gets an area of its own; beyond, a strip of a heat map.
MOST_AREAS = 12
_FORMATS = ("png", "svg")
_SHADES = ("< 20 %", "< 40 %", "< 60 %", "< 80 %", "< 100 %", "peak")


def widths_chart(edits, initial_widths, path, epochs=None):
    """Draws how the network grew and shrank: the width of each group and the total of parameters over the epochs.

    Up to twelve groups are drawn as one area each, in the order of the network, every area to its own scale; more
    groups as a heat map of the share of each group's peak. The widths at the start, at the peak and at the end stand
    beside each row.

    Args:
        edits: A sequence of `Edit` or of their dicts, in the order in which they were made.
        initial_widths: Name of a group -> its units at the start, in the order of the network.
        path: Where the chart goes; its suffix, `.png` or `.svg`, chooses the format. An existing file is replaced.
        epochs: How many epochs the run had. Defaults to the epoch of the last edit.

    Returns:
        The path, as a `pathlib.Path`.

    Raises:
        ValueError: If the suffix is another one, there is no group, or an edit names a group that `initial_widths` does
            not have.
    """
    form = _form(path)
    return write_atomically(path, render(widths_figure(as_edits(edits), initial_widths, epochs), form))


def training_chart(training_history, edits, path):
    """Draws accuracy and loss over the epochs, with the edits marked.

    Args:
        training_history: Name of a metric -> its value at each epoch's end, as `History.history` of `fit` holds it.
        edits: A sequence of `Edit` or of their dicts, in the order in which they were made.
        path: Where the chart goes; its suffix, `.png` or `.svg`, chooses the format. An existing file is replaced.

    Returns:
        The path, as a `pathlib.Path`.

    Raises:
        ValueError: If the suffix is another one, or the history holds neither an accuracy nor a loss.
    """
    form = _form(path)
    return write_atomically(path, render(training_figure(training_history, as_edits(edits)), form))


def widths_figure(edits, initial_widths, epochs=None, inches=7.6):
    """The figure behind `widths_chart`, `inches` wide and as high as its rows need."""
    if not initial_widths:
        raise ValueError(f"`initial_widths` must name at least one group. Received: initial_widths={initial_widths!r}")
    rows, times = widths_over_time(edits, initial_widths), edit_times(edits)
    end = max([1, epochs or 0, *times])
    areas, wide = len(rows) <= MOST_AREAS, inches > 5
    names = [_short(name, (18 if areas else 24) if wide else 12) for name in rows]
    left = max(0.62, 0.16 + (0.074 if areas else 0.06) * max(map(len, names)))
    height = (0.42 if areas else 0.17 if len(rows) <= 40 else 0.145) * len(rows) + 0.1
    right = max(
        1.15 if wide else 0.95, 0.2 + (0.07 if areas else 0.06) * max(len(course(row)) for row in rows.values())
    )
    canvas = Canvas(inches, [height, 1.15] if edits else [height], left, right)
    (_draw_areas if areas else _draw_heat_map)(canvas.panels[0], list(rows.values()), times, end)
    _label_rows(canvas.panels[0], names, list(rows.values()))
    canvas.title(0, "Units, as a share of each group's peak" if wide and not areas else "Units")
    canvas.beside(0, "start → peak → end" if edits and wide else "")
    if edits:
        values = [edits[0].params_before, *(edit.params_after for edit in edits)]
        _draw_parameters(canvas.panels[1], values, times, end)
        canvas.title(1, "Parameters", course(values) if wide else "")
    canvas.finish(end, edits, times, lines=areas)
    return canvas.figure


def training_figure(training_history, edits, inches=7.6):
    """The figure behind `training_chart`, `inches` wide."""
    shown = [
        (name, text)
        for name, text in ((accuracy_name(training_history), "Accuracy"), ("loss", "Loss"))
        if _has(training_history, name)
    ]
    if not shown:
        raise ValueError(
            "`training_history` must hold an accuracy or a loss for each epoch. "
            f"Received: training_history with the keys {list(training_history)}"
        )
    canvas, times = Canvas(inches, [1.5] * len(shown), 0.62, 0.72), edit_times(edits)
    epochs = [_draw_metric(canvas.panels[i], training_history, name) for i, (name, _) in enumerate(shown)]
    for i, (_, text) in enumerate(shown):
        canvas.title(i, text)
    canvas.finish(max([1, *epochs, *times]), edits, times)
    return canvas.figure


def accuracy_name(training_history):
    """The first metric of a history that is an accuracy of the training data, or `None`."""
    return next((name for name in training_history if "acc" in name.lower() and not name.startswith("val_")), None)


def has_curves(training_history):
    """Whether a history holds anything that `training_chart` draws."""
    return bool(training_history) and any(
        _has(training_history, name) for name in (accuracy_name(training_history), "loss")
    )


def course(values):
    """Start, peak and end of a row of counts: `"6 → 20 → 14"`; a peak at either end is not said twice."""
    turns = [values[0], max(values), values[-1]]
    if turns[1] in (turns[0], turns[2]):
        del turns[1]
    if len(set(turns)) == 1:
        del turns[1:]
    return " → ".join(figures.count(turn) for turn in turns)


def _draw_areas(axes, rows, times, end):
    x = [0, *times, end]
    for place, widths in enumerate(rows):
        base = len(rows) - 1 - place
        top = [base + 0.78 * width / max(1, *widths) for width in [*widths, widths[-1]]]
        axes.fill_between(x, base, top, step="post", color=palette.light("area"), linewidth=0, zorder=2)
        axes.step(x, top, where="post", color=palette.light("ink"), linewidth=1.1, zorder=3)
        axes.axhline(base, color=palette.light("line"), linewidth=0.7, zorder=2)
    axes.set_ylim(0, len(rows) + 0.1)


def _draw_heat_map(axes, rows, times, end):
    from matplotlib.patches import Patch

    x = [0, *times, end]
    for place, widths in enumerate(rows):
        base, peak = len(rows) - 1 - place, max(1, *widths)
        shades, start = [5 * width // peak for width in widths], 0
        for shade, stretch in itertools.groupby(shades):
            stop = start + len(list(stretch))
            colour = palette.light(palette.RAMP[shade])
            axes.broken_barh([(x[start], x[stop] - x[start])], (base + 0.07, 0.86), color=colour, linewidth=0, zorder=2)
            start = stop
    axes.set_ylim(0, len(rows) + 0.4)
    swatches = [Patch(color=palette.light(name)) for name in palette.RAMP]
    style = {
        "fontsize": 7,
        "handlelength": 1,
        "handleheight": 0.8,
        "handletextpad": 0.4,
        "columnspacing": 0.8,
        "borderaxespad": 0.4,
    }
    legend(axes, swatches, _SHADES, "upper center", (0.5, 0), **style)


def _label_rows(axes, names, rows):
    crowded = len(rows) > MOST_AREAS
    # A dollar sign in a name is a dollar sign, not a formula.
    style = {"textcoords": "offset points", "va": "center", "fontsize": 7 if crowded else 8.5, "parse_math": False}
    for place, (name, widths) in enumerate(zip(names, rows, strict=True)):
        middle = len(rows) - 1 - place + (0.5 if crowded else 0.36)
        axes.annotate(
            name, (0, middle), (-7, 0), axes.get_yaxis_transform(), ha="right", color=palette.light("ink"), **style
        )
        axes.annotate(
            course(widths), (1, middle), (7, 0), axes.get_yaxis_transform(), color=palette.light("muted"), **style
        )
    axes.set_yticks([])


def _draw_parameters(axes, values, times, end):
    x, y = [0, *times, end], [*values, values[-1]]
    axes.fill_between(x, 0, y, step="post", color=palette.light("area"), linewidth=0, zorder=2)
    axes.step(x, y, where="post", color=palette.light("ink"), linewidth=1.3, zorder=3)
    axes.set_ylim(0, 1.08 * max(1, *values))
    value_axis(axes, figures.short_count)


def _has(training_history, name):
    return name is not None and any(len(training_history.get(key, ())) for key in (name, f"val_{name}"))


def _draw_metric(axes, training_history, name):
    """Draws one metric of the training and the validation data, with its last value; returns how many epochs it has."""
    scale, unit = (1, "") if name == "loss" else (100, " %")
    curves = {}
    for label, key, colour, width in (("training", name, "muted", 0.9), ("validation", f"val_{name}", "ink", 1.6)):
        values = [scale * float(value) for value in training_history.get(key, ())]
        if values:
            style = {
                "color": palette.light(colour),
                "linewidth": width,
                "marker": "o" if len(values) == 1 else None,
                "zorder": 3,
            }
            curves[label] = axes.plot(range(1, len(values) + 1), values, **style)[0]
    epochs = max(len(line.get_ydata()) for line in curves.values())
    last = list(curves.values())[-1].get_ydata()[-1]
    style = {"textcoords": "offset points", "va": "center", "fontsize": 8.5, "color": palette.light("ink")}
    axes.annotate(
        f"{last:.2f}{unit}" if unit else f"{last:.3g}", (1, last), (7, 0), axes.get_yaxis_transform(), **style
    )
    if name == "loss":
        axes.set_ylim(bottom=0)
    else:
        box = {
            "frameon": True,
            "facecolor": palette.light("paper"),
            "edgecolor": "none",
            "framealpha": 1,
            "borderpad": 0.3,
            "borderaxespad": 0,
            "handlelength": 1.4,
        }
        legend(axes, list(curves.values()), list(curves), "lower right", (0.995, 0.03), **box)
    value_axis(axes, lambda value: f"{value:g}{unit}")
    return epochs


def _short(name, length):
    """The name, or its end where it is too long: the end of a path tells layers apart."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


def _form(path):
    form = pathlib.Path(path).suffix.lower().lstrip(".")
    if form not in _FORMATS:
        raise ValueError(f"`path` must end with .png or .svg, which chooses the format. Received: path={str(path)!r}")
    return form
