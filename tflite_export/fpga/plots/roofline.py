"""The roofline of an accelerator, with the layers of a network under it."""

import collections
import math

from cgap_keras.report import figures, palette
from cgap_keras.report.canvas import Canvas, legend
from tflite_export.fpga.accelerators.accelerator import Accelerator
from tflite_export.fpga.plots.plot import BOUNDS, legend_labels, svg_file

_WIDTH, _HEIGHT, _LEFT, _RIGHT = 7.6, 3.9, 0.68, 0.3


def roofline(estimate):
    """Draws the layers of a network under what the array and the memory allow.

    A layer that multiplies is a point: its operations (two a multiply-accumulate) for each byte of DRAM traffic, and
    the operations a second that it reaches. It cannot lie above the peak of the array, nor above its operations a byte
    times the bandwidth. Where reads and writes move at the same time that is twice the bandwidth of one direction,
    which is dashed. The area of a point grows with its time; colour and shape say what takes most of it. The ring is
    the whole network. Williams et al., "Roofline: An Insightful Visual Performance Model", CACM 2009.

    Args:
        estimate: An `Estimate` on an `Accelerator`.

    Returns:
        The text of an SVG file, light or dark as the reader's system is; a point's name and figures show when the
        pointer rests on it.

    Raises:
        ValueError: If no layer multiplies, or the accelerator is no `Accelerator`.

    Example:

    ```python
    pathlib.Path("roofline.svg").write_text(fpga.roofline(fpga.estimate(model, "ma_arria10_200mhz")))
    ```
    """
    if not isinstance(estimate.accelerator, Accelerator):
        raise ValueError(
            "Only an `Accelerator` has a roofline; in a dataflow each layer has an array of its own. "
            f"Received: estimate of {estimate.accelerator.name!r}"
        )
    layers = [layer for layer in estimate.layers if layer.macs]
    if not layers:
        raise ValueError(f"`estimate` must have a layer that multiplies. Received: estimate of {estimate.layers}")
    canvas = Canvas(_WIDTH, [_HEIGHT], _LEFT, _RIGHT)
    axes, points = canvas.panels[0], _points(layers)
    whole = _place(estimate.macs, estimate.dram_bytes, 1e3 * estimate.latency_ms)
    _set_limits(axes, [*points, whole], estimate)
    _draw_roof(axes, estimate)
    titles = _draw_points(axes, points, sum(layer.latency_us for layer in layers))
    axes.plot(*whole, "o", markersize=11, markerfacecolor="none", color=palette.light("ink"), gid="network", zorder=5)
    titles["network"] = f"Whole network: {_figures(*whole)}, {figures.measure(estimate.latency_ms, 'ms')}"
    share = sum(layer.latency_us for layer in layers) / (1e3 * estimate.latency_ms)
    name = f"{estimate.accelerator.name} on {estimate.device}"
    canvas.title(0, name, f"layers that multiply: {share:.0%} of the time".replace("%", " %"))
    _label(axes, layers)
    return svg_file(canvas.figure, "roofline", f"Roofline of {name}", titles)


def _place(macs, dram_bytes, us):
    """Operations a byte and 10^9 operations a second."""
    return 2 * macs / dram_bytes, 2e-3 * macs / us


def _points(layers):
    """`(operations a byte, GOPS)` -> the layers there: networks repeat the same few."""
    points = collections.defaultdict(list)
    for layer in layers:
        points[_place(layer.macs, layer.dram_bytes, layer.latency_us)].append(layer)
    return points


def _figures(intensity, gops):
    return f"{figures.measure(intensity)} operations a byte, {figures.measure(gops)} GOPS"


def _set_limits(axes, places, estimate):
    """Room for all points, the peak and the ridge."""
    ridge = estimate.peak_gops / _bandwidth(estimate.accelerator)
    x, y = zip(*places, strict=True)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(*x, ridge) / 1.8, max(*x, ridge) * 2.5)
    axes.set_ylim(min(*y, estimate.peak_gops / 10) / 1.8, estimate.peak_gops * 1.7)


def _bandwidth(accelerator):
    """GB/s, both directions together."""
    return accelerator.bytes_per_us / 1e3 * (2 if accelerator.duplex else 1)


def _draw_roof(axes, estimate):
    peak, both = estimate.peak_gops, _bandwidth(estimate.accelerator)
    (left, right), ink = axes.get_xlim(), palette.light("ink")
    axes.plot([left, peak / both, right], [left * both, peak, peak], color=ink, linewidth=1.4, zorder=2)
    axes.fill_between(
        [left, peak / both, right], [left * both, peak, peak], 1e-9, color=palette.light("panel"), zorder=0
    )
    axes.annotate(
        f"{peak:,.0f} GOPS peak",
        (right, peak),
        (-2, 8),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
        color=ink,
    )
    duplex, muted = estimate.accelerator.duplex, palette.light("muted")
    _label_slope(axes, both, f"{both:.3g} GB/s{', both ways' if duplex else ''}", peak, (-4, "bottom", ink))
    if duplex:
        axes.plot([left, 2 * peak / both], [left * both / 2, peak], "--", color=muted, linewidth=1, zorder=2)
        _label_slope(axes, both / 2, f"{both / 2:.3g} GB/s, one way", peak, (4, "top", muted))


def _label_slope(axes, bandwidth, text, peak, style):
    """Writes along a slope, half-way up what is seen of it; `style` is the offset, the side and the colour."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    offset, side, colour = style
    x = math.sqrt(max(left, bottom / bandwidth) * peak / bandwidth)
    angle = math.atan2(_HEIGHT / math.log(top / bottom), (_WIDTH - _LEFT - _RIGHT) / math.log(right / left))
    axes.annotate(
        text,
        (x, x * bandwidth),
        (offset * math.sin(angle), -offset * math.cos(angle)),
        textcoords="offset points",
        rotation=math.degrees(angle),
        rotation_mode="anchor",
        ha="center",
        va=side,
        fontsize=8.5,
        color=colour,
    )


def _draw_points(axes, points, total_us):
    """Draws each place once, the area by the time of its layers; returns the titles of the points."""
    titles = {}
    for number, (place, layers) in enumerate(points.items()):
        colour, mark = BOUNDS[layers[0].bound]
        us = sum(layer.latency_us for layer in layers)
        size = 18 + 500 * us / total_us
        style = {"color": palette.light(colour), "alpha": 0.75, "linewidths": 0, "zorder": 3, "gid": f"layer-{number}"}
        axes.scatter(*([x] for x in place), s=size, marker=mark, **style)
        more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
        cost = f"{figures.measure(us, 'us')} in all, bound by {layers[0].bound}"
        titles[f"layer-{number}"] = f"{layers[0].name}{more}: {_figures(*place)}, {cost}"
    return titles


def _label(axes, layers):
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, NullFormatter

    muted, plain = palette.light("muted"), FuncFormatter(lambda value, _: f"{value:,.10g}")
    for axis, text in ((axes.xaxis, "operations a byte of DRAM traffic"), (axes.yaxis, "GOPS")):
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(NullFormatter())
        axis.set_label_text(text, fontsize=8.5, color=muted)
    axes.grid(color=palette.light("line"), linewidth=0.6, zorder=1)
    axes.tick_params(which="both", length=0)
    labels = legend_labels(layers)
    marks = [
        Line2D([], [], color=palette.light(BOUNDS[bound][0]), marker=BOUNDS[bound][1], markersize=5, linestyle="")
        for bound in labels
    ]
    ring = Line2D([], [], color=palette.light("ink"), marker="o", markersize=7, markerfacecolor="none", linestyle="")
    legend(axes, [*marks, ring], [*labels.values(), "network"], "lower right", (1, 0.015), handletextpad=0.2)
