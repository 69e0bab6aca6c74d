"""The colours of the charts and of the page, once for a light and once for a dark background.

The categorical colours are those of Okabe and Ito, "Color Universal Design" (2008), which stay apart for every common
kind of colour blindness; the ramp is one hue that grows in lightness alone. Kind of edit is also told by the shape of
its mark, never by colour alone.
"""

# name -> (on light, on dark)
COLOURS = {
    "paper": ("#fcfcfa", "#15181c"),
    "panel": ("#f4f4f1", "#1d2126"),
    "ink": ("#1b1f24", "#e7e9ec"),
    "muted": ("#5d636c", "#a0a7b1"),
    "line": ("#dcdedf", "#343a42"),
    "faded": ("#c2c6cb", "#4b525c"),
    "grow": ("#0072b2", "#56b4e9"),
    "prune": ("#d05500", "#f0a030"),
    "other": ("#777d86", "#8d949e"),
    "area": ("#cbdfec", "#25465d"),
    "ramp0": ("#e6eff6", "#1b2833"),
    "ramp1": ("#bfd9eb", "#1f3d55"),
    "ramp2": ("#8fbddd", "#27587c"),
    "ramp3": ("#589dcb", "#3378a8"),
    "ramp4": ("#2778b0", "#57a1d4"),
    "ramp5": ("#0c5084", "#a3d4f7"),
}
RAMP = ("ramp0", "ramp1", "ramp2", "ramp3", "ramp4", "ramp5")


def light(name):
    """The colour `name` on a light background, as `#rrggbb`."""
    return COLOURS[name][0]


def kind_colour(kind):
    """The name of the colour that stands for a kind of edit."""
    return kind if kind in ("grow", "prune") else "other"


def css_variables():
    """The palette as CSS custom properties: light by default, dark where the reader's system asks for it."""
    blocks = ["".join(f"--{name}:{pair[tone]};" for name, pair in COLOURS.items()) for tone in (0, 1)]
    return f":root{{{blocks[0]}}}\n@media (prefers-color-scheme:dark){{:root{{{blocks[1]}}}}}\n"


def to_variables(text):
    """`text` with each light colour of the palette replaced by its CSS custom property, which follows the theme."""
    for name, (on_light, _) in COLOURS.items():
        text = text.replace(on_light, f"var(--{name})")
    return text
