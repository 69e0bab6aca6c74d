"""What the plots of an estimate have in common: how the bounds of layers look, and SVG files that follow the theme."""

from cgap_keras.report import embed, palette

# Bound of a layer -> the name of its colour, and its mark, so that colour alone says nothing.
BOUNDS = {
    "compute": ("grow", "o"),
    "weights": ("prune", "s"),
    "feature maps": ("ink", "^"),
    "overhead": ("other", "D"),
    "interval": ("grow", "o"),
}
_STYLE = (
    ":root{background:var(--paper);font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,"
    "sans-serif}g:has(>title):hover{opacity:.6}"
)


def shares(layers):
    """How much of the time each bound's layers take: a dict from bound to share, the longest first."""
    total = sum(layer.latency_us for layer in layers) or 1.0
    times = {bound: sum(x.latency_us for x in layers if x.bound == bound) / total for bound in BOUNDS}
    return {bound: share for bound, share in sorted(times.items(), key=lambda x: -x[1]) if share}


def legend_labels(layers):
    """Bound -> what the legend says of it: `"compute 62 %"`, its share of these layers' time."""
    return {bound: f"{bound} {share:.0%}".replace("%", " %") for bound, share in shares(layers).items()}


def svg_file(figure, name, label, titles):
    """A figure as the text of an SVG file that is light or dark as the reader's system is.

    Args:
        figure: A matplotlib figure, drawn in the palette's light colours.
        name: A word for the ids within.
        label: What the plot shows, for readers who do not see it.
        titles: Id of a part of the figure (an artist's `gid`) -> the text shown when the pointer rests on it.

    Returns:
        The text.
    """
    element, style = embed.inline_svg(figure, name, label, titles), f"{palette.css_variables()}{_STYLE}"
    tag, end, body = element.partition(">")
    tag = tag.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{tag}{end}<style>{style}</style>{body}\n"
