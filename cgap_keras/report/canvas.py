"""The sheet that the charts are drawn on: panels one below the other with one axis of epochs, and the edits marked.

matplotlib is imported when a sheet is made, not before, and only through its object-oriented interface: no window, no
global figure.
"""

import io

from cgap_keras.report import palette

_MARKS = {"grow": "^", "prune": "v"}
_TOP, _GAP, _BOTTOM = 0.36, 0.4, 0.42
_SMALL = 8.5


class Canvas:
    """A figure laid out in inches, so that text keeps its size whatever the chart holds.

    Args:
        inches: Width of the figure.
        heights: Height of each panel, from the top.
        left: Room for labels to the left of the panels.
        right: Room for labels to the right of the panels.
    """

    def __init__(self, inches, heights, left, right):
        from matplotlib.figure import Figure

        total = _TOP + sum(heights) + _GAP * (len(heights) - 1) + _BOTTOM
        self.figure = Figure(figsize=(inches, total), facecolor=palette.light("paper"))
        self.panels, y = [], total - _TOP
        for height in heights:
            y -= height
            box = (left / inches, y / total, (inches - left - right) / inches, height / total)
            self.panels.append(_plain_axes(self.figure.add_axes(box, facecolor="none")))
            y -= _GAP

    def title(self, panel, text, note=""):
        """Writes a title above a panel, at its left, and a note at its right."""
        # The marks of the edits stand on the edge of the first panel.
        style = {"xycoords": "axes fraction", "textcoords": "offset points"}
        lift = 10 if panel == 0 else 7
        self.panels[panel].annotate(
            text, (0, 1), (0, lift), fontsize=9.5, weight="bold", color=palette.light("ink"), **style
        )
        self.panels[panel].annotate(
            note, (1, 1), (0, lift), ha="right", fontsize=_SMALL, color=palette.light("muted"), **style
        )

    def beside(self, panel, text):
        """Writes a note at the right of a panel's title, outside the panel."""
        style = {
            "xycoords": "axes fraction",
            "textcoords": "offset points",
            "fontsize": 7,
            "color": palette.light("muted"),
        }
        self.panels[panel].annotate(text, (1, 1), (7, 10 if panel == 0 else 7), **style)

    def finish(self, end, edits, times, lines=True):
        """Gives the panels their axis of epochs from 0 to `end`, and marks the edits.

        Args:
            end: The last epoch.
            edits: The edits.
            times: Where they lie on the axis.
            lines: Whether the first panel, too, gets a line for each edit, and not the mark at its top alone.
        """
        from matplotlib.ticker import MaxNLocator

        for number, axes in enumerate(self.panels):
            axes.set_xlim(0, end)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
            axes.tick_params(labelbottom=axes is self.panels[-1])
            for edit, time in zip(edits, times, strict=True):
                if number or lines:
                    axes.axvline(time, color=_colour(edit.kind), linewidth=0.7, alpha=0.4, zorder=1)
        self.panels[-1].set_xlabel("epoch", fontsize=_SMALL, color=palette.light("muted"), labelpad=3)
        for i, (edit, time) in enumerate(zip(edits, times, strict=True)):
            self._mark(edit.kind, [time], f"edit-{i}")
        self._legend(dict.fromkeys(edit.kind for edit in edits))

    def _mark(self, kind, times, name):
        axes = self.panels[0]
        axes.plot(
            times,
            [1.0] * len(times),
            _MARKS.get(kind, "d"),
            color=_colour(kind),
            markersize=4.5,
            clip_on=False,
            zorder=5,
            gid=name,
            transform=axes.get_xaxis_transform(),
        )

    def _legend(self, kinds):
        from matplotlib.lines import Line2D

        marks = [
            Line2D([], [], color=_colour(kind), marker=_MARKS.get(kind, "d"), markersize=4.5, linestyle="")
            for kind in kinds
        ]
        if marks:
            legend(self.panels[0], marks, list(kinds), "lower right", (1, 1), borderaxespad=0.9, handletextpad=0.1)


def legend(axes, handles, labels, corner, anchor, **settings):
    """Adds a legend without a frame, in one line, with its `corner` at the place `anchor` of the axes."""
    drawn = axes.legend(
        handles,
        labels,
        loc=corner,
        bbox_to_anchor=anchor,
        ncols=len(labels),
        labelcolor=palette.light("muted"),
        **{"fontsize": _SMALL, "columnspacing": 1.2, "frameon": False, "borderpad": 0, **settings},
    )
    for text in drawn.get_texts():
        text.set_parse_math(False)
    # Without this, the next legend of the same axes would take this one's place.
    axes.add_artist(drawn)


def value_axis(axes, text):
    """Gives a panel a quiet vertical axis: a few lines across, and values written by `text(value)`."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.grid(axis="y", color=palette.light("line"), linewidth=0.7)
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)


def render(figure, form):
    """A figure as the bytes of a `png` or `svg` file; the same figure gives the same bytes."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "cgap"}):
        figure.savefig(buffer, format=form, dpi=200, metadata={"Date": None} if form == "svg" else None)
    return buffer.getvalue()


def _colour(kind):
    return palette.light(palette.kind_colour(kind))


def _plain_axes(axes):
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(palette.light("line"))
    axes.tick_params(
        labelcolor=palette.light("muted"), color=palette.light("line"), labelsize=_SMALL, length=3, width=0.7
    )
    return axes
