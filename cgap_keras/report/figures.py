"""Figures as a person reads them: grouped digits, units, changes in percent.

Every function returns plain text with an ASCII minus sign; what is not known (`None`) is a dash.
"""

import math
import numbers

UNKNOWN = "-"


def is_number(value):
    """Whether a value is a number to show as one: no truth value, not `None`, not NaN."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and not math.isnan(value)


def count(value):
    """A count with grouped digits: `"10,482"`."""
    return f"{value:,.0f}" if is_number(value) else UNKNOWN


def short_count(value):
    """A count to three significant digits, for the tick of an axis or a narrow column: `"15 k"`, `"2.5 M"`."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        # 999,500 would be written "1e+03 k".
        if value >= 0.9995 * limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:g}"


def accuracy(value):
    """An accuracy between 0 and 1 in percent: `"98.91 %"`."""
    return f"{100 * value:.2f} %" if is_number(value) else UNKNOWN


def size(value):
    """A number of bytes in the unit that suits it, 1 kB = 1000 bytes: `"14.2 kB"`."""
    if not is_number(value):
        return UNKNOWN
    for limit, unit in ((1e3, "B"), (1e6, "kB"), (1e9, "MB")):
        if abs(value) < limit:
            return f"{value:.0f} B" if unit == "B" else f"{value / limit * 1e3:.1f} {unit}"
    return f"{value / 1e9:.1f} GB"


def measure(value, unit=""):
    """A measured value to three significant digits, with its unit: `"0.124 ms"`."""
    if not is_number(value):
        return UNKNOWN
    # Beyond four digits before the point, `g` would turn to powers of ten.
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{digits} {unit}".rstrip()


def duration(seconds):
    """A time in the units that suit it: `"8.4 s"`, `"12 min 4 s"`, `"2 h 5 min"`."""
    if not is_number(seconds):
        return UNKNOWN
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def change(before, after):
    """The relative change: `"-83.0 %"`. Not known where there is nothing to relate to."""
    if not (is_number(before) and is_number(after)) or before == 0:
        return UNKNOWN
    shown = f"{100 * (after - before) / before:+.1f}"
    return f"{'0.0' if float(shown) == 0 else shown} %"


def points(before, after):
    """The change of an accuracy in percentage points: `"-0.14 points"`."""
    if not (is_number(before) and is_number(after)):
        return UNKNOWN
    shown = f"{100 * (after - before):+.2f}"
    return f"{'0.00' if float(shown) == 0 else shown} points"


def ratio(before, after):
    """How many times the first is the second: `"5.9x"`."""
    if not (is_number(before) and is_number(after)) or after == 0:
        return UNKNOWN
    return f"{before / after:.3g}x" if before / after < 1000 else f"{before / after:,.0f}x"


def fewer(before, after, less="fewer"):
    """The change in words: `"83.0 % fewer"`, `"12.5 % more"`, `"as many"`."""
    if before == after or not before:
        return "as many" if less == "fewer" else "the same"
    percent = 100 * (before - after) / before
    return f"{abs(percent):.1f} % {less if percent > 0 else 'more'}"


def plain(value):
    """Any value of a summary as text: numbers grouped or rounded, truth as yes or no, `None` as a dash."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, numbers.Real):
        return count(value) if isinstance(value, numbers.Integral) else measure(value)
    return str(value)
