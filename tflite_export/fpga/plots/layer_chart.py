"""The time of each layer of a network, in the order of execution."""

from cgap_keras.report import figures, palette
from cgap_keras.report.canvas import Canvas, legend, value_axis
from tflite_export.fpga.plots.plot import BOUNDS, legend_labels, svg_file

_WIDTH, _LEFT, _RIGHT = 7.6, 0.68, 0.3
# Inches that a name beside its bar takes, and up to how many layers have one.
_NAMED, _MOST_NAMED = 0.19, 60


def layer_chart(estimate):
    """Draws how long each layer takes, coloured by what takes most of its time.

    Up to sixty layers are bars from top to bottom with their names; more layers are columns from left to right, whose
    names show when the pointer rests on them. Layers without cost are left out.

    Args:
        estimate: An `Estimate`.

    Returns:
        The text of an SVG file, light or dark as the reader's system is.

    Raises:
        ValueError: If no layer takes any time.
    """
    layers = [layer for layer in estimate.layers if layer.bound]
    if not layers:
        raise ValueError(f"`estimate` must have a layer that takes time. Received: estimate of {estimate.layers}")
    named = len(layers) <= _MOST_NAMED
    left = 0.3 + 0.068 * max(len(_short(layer.name)) for layer in layers) if named else _LEFT
    canvas = Canvas(_WIDTH, [_NAMED * len(layers) + 0.1 if named else 2.4], left, 0.8 if named else _RIGHT)
    axes = canvas.panels[0]
    (_draw_bars if named else _draw_columns)(axes, layers)
    name = f"{estimate.accelerator.name} on {estimate.device}"
    canvas.title(0, name, f"{figures.measure(estimate.latency_ms, 'ms')}, {len(layers)} layers")
    _key(axes, layers, named)
    titles = {
        f"bar-{i}": f"{x.name} ({x.kind}): {figures.measure(x.latency_us, 'us')}, bound by {x.bound}"
        for i, x in enumerate(layers)
    }
    return svg_file(canvas.figure, "layers", f"Latency of each layer: {name}", titles)


def _draw_bars(axes, layers):
    for i, layer in enumerate(layers):
        axes.barh(i, layer.latency_us, height=0.72, color=_colour(layer), gid=f"bar-{i}", zorder=3)
        axes.annotate(
            figures.measure(layer.latency_us, "us"),
            (layer.latency_us, i),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=palette.light("muted"),
        )
    axes.set_yticks(range(len(layers)), [_short(layer.name) for layer in layers], fontsize=7.5, parse_math=False)
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.set_xlim(0, max(layer.latency_us for layer in layers))
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def _draw_columns(axes, layers):
    for i, layer in enumerate(layers):
        axes.bar(i + 0.5, layer.latency_us, width=0.86, color=_colour(layer), gid=f"bar-{i}", zorder=3)
    axes.set_xlim(0, len(layers))
    axes.set_ylim(0, 1.12 * max(layer.latency_us for layer in layers))
    axes.set_xlabel("layer, in the order of execution", fontsize=8.5, color=palette.light("muted"), labelpad=3)
    value_axis(axes, lambda value: f"{value:,.4g} us")


def _key(axes, layers, named):
    from matplotlib.patches import Patch

    labels = legend_labels(layers)
    swatches = [Patch(color=palette.light(BOUNDS[bound][0])) for bound in labels]
    place = ("upper left", (0, 0)) if named else ("upper right", (1, 1))
    style = {"handlelength": 1, "handleheight": 0.8, "borderaxespad": 0.5}
    legend(axes, swatches, list(labels.values()), *place, **style)


def _colour(layer):
    return palette.light(BOUNDS[layer.bound][0])


def _short(name):
    return name if len(name) <= 40 else f"…{name[-39:]}"
