"""Accuracy against multiply-accumulates, one panel for each table of a comparison."""

import statistics

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

# Colours of Okabe and Ito, which stay apart for every common kind of colour blindness; shapes tell methods apart too.
_STYLES = {
    "dense": ("s", "#444444"),
    "narrow": ("v", "#0072b2"),
    "retrain": ("D", "#009e73"),
    "prune": ("P", "#cc79a7"),
    "cgap": ("o", "#d55e00"),
}
_WIDTH, _HEIGHT = 7.2, 4.2
# Points from one mark to the next, and from one label to the next.
_COLUMN, _LINE = 9, 13


def draw(tables, path):
    """Draws the plot: a marker for the mean over seeds, a bar for their standard deviation, a dot for each seed.

    Marks that would cover each other are moved aside; the table has their numbers.

    Args:
        tables: The `Table`s of `comparison.compare`.
        path: Where the image goes.
    """
    figure = Figure(figsize=(_WIDTH, _HEIGHT * len(tables)), layout="constrained")
    for table, axes in zip(tables, figure.subplots(len(tables), squeeze=False)[:, 0], strict=True):
        _panel(figure, axes, table)
    figure.savefig(path, dpi=150)


def _panel(figure, axes, table):
    axes.set_title(table.title, loc="left", fontsize=10)
    axes.set_xlabel("multiply-accumulates of one image, millions")
    axes.set_ylabel("top-1 accuracy, %")
    axes.grid(color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    points = [(group.mean("macs") / 1e6, statistics.fmean(group.accuracies)) for group in table.groups]
    # From zero, so that distances are savings; room for the labels at the right.
    axes.set_xlim(0, 1.3 * max(x for x, _ in points))
    for group, (_, y) in zip(table.groups, points, strict=True):
        spread = group.spread or 0.0
        axes.update_datalim([(0, min(y - spread, *group.accuracies, y)), (0, max(y + spread, *group.accuracies, y))])
    axes.margins(y=0.12)
    axes.autoscale_view(scalex=False)
    figure.draw_without_rendering()
    places = axes.transData.transform(points) * 72 / figure.dpi
    # Methods are compared at one cost: what would stand at one place stands side by side.
    columns, lines = _apart(places[:, 0], _COLUMN), _apart(places[:, 1], _LINE)
    for group, point, place, column, line in zip(table.groups, points, places, columns, lines, strict=True):
        aside = axes.transData + ScaledTranslation((column - place[0]) / 72, 0, figure.dpi_scale_trans)
        _mark(axes, group, point, aside)
        # At the right of all marks near by.
        start = max(other for other in columns if other - column < 6 * _COLUMN) - column + _COLUMN
        _label(axes, group, point, (start, line - place[1]), aside)


def _apart(places, distance):
    """`spread_out` for numbers in any order."""
    order = np.argsort(places, kind="stable")
    apart = np.empty(len(places))
    apart[order] = spread_out(list(places[order]), distance)
    return apart


def _mark(axes, group, point, aside):
    """The mark of a group at a point, its bar, and a dot for each seed."""
    marker, colour = _STYLES[group.method]
    style = {"color": colour, "transform": aside}
    axes.scatter([point[0]] * len(group.rows), group.accuracies, s=8, alpha=0.45, linewidths=0, zorder=2, **style)
    axes.errorbar(*point, group.spread, fmt=marker, markersize=6.5, capsize=2.5, linewidth=1.2, zorder=3, **style)


def _label(axes, group, point, offset, aside):
    """The label of a group, some points away from its mark, with a line to it unless it stands beside it."""
    colour = _STYLES[group.method][1]
    beside = offset[0] <= _COLUMN and abs(offset[1]) < _LINE / 3
    line = None if beside else {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4}
    style = {"textcoords": "offset points", "va": "center", "fontsize": 9, "color": colour}
    axes.annotate(group.label, point, offset, xycoords=aside, arrowprops=line, **style)


def spread_out(places, distance):
    """Places at least `distance` apart, as near to the given ones as they can be.

    Args:
        places: Numbers in ascending order.
        distance: The least distance between neighbours.

    Returns:
        A list of as many numbers, in ascending order.
    """
    # Neighbours that would be too near become a block around their mean, which may then be too near to the one below.
    blocks = []
    for place in places:
        blocks.append([place])
        while len(blocks) > 1 and _edge(blocks[-1], distance, -1) < _edge(blocks[-2], distance, 1) + distance:
            top = blocks.pop()
            blocks[-1] += top
    return [_edge(block, distance, -1) + i * distance for block in blocks for i in range(len(block))]


def _edge(block, distance, side):
    """Where the lowest (side -1) or the highest (side 1) member of a block stands."""
    return statistics.fmean(block) + side * distance * (len(block) - 1) / 2
