"""The family tree of a group's units, drawn as lines of life along the epochs."""

import html

# The drawing is stretched to the page's width; this is the length of its axis of epochs in its own coordinates.
_LENGTH = 1000
# Above this many units the lines are drawn without a text for each, to keep the page small.
_MOST_TITLES = 160


def family_tree(descent, times, end):
    """Draws the life of each unit of a group: born of its parent, living on, pruned or still there.

    Every unit has a lane of its own, children below their parent, the youngest nearest; so no branch crosses a living
    unit.

    Args:
        descent: A `Descent`.
        times: Where the edits lie on the axis of epochs, in epochs.
        end: The end of the axis, in epochs.

    Returns:
        An `<svg>` element as text, of the classes `tree`, `seed`, `grown`, `lost` and `gone` (the points where units
        end).
    """
    everyone = sorted((*descent.units, *descent.pruned), key=lambda unit: unit.number)
    lanes = _lanes(everyone)
    place = [_LENGTH * time / end for time in times]
    parts = {"lost": [], "seed": [], "grown": []}
    for unit in everyone:
        parts[_fate(unit)].append((_life(unit, lanes, place), _story(unit)))
    shapes = [
        shape for kind, lives in parts.items() for shape in _paths(kind, lives, titled=len(everyone) <= _MOST_TITLES)
    ]
    ends = "".join(f"M{place[unit.pruned_edit]:.1f} {lanes[unit.number]}h0" for unit in descent.pruned)
    lane = _lane_height(len(everyone))
    label = html.escape(f"{descent.group}: {counts(descent)}")
    style = f"height:{lane * len(everyone):.0f}px;--stroke:{min(1.6, 0.5 * lane):.2f}px"
    return (
        f'<svg class="tree" viewBox="0 0 {_LENGTH} {len(everyone)}" preserveAspectRatio="none" role="img" '
        f'style="{style}" aria-label="{label}">'
        f'{"".join(shapes)}<path class="gone" d="{ends}"/></svg>'
    )


def counts(descent):
    """A group's story in numbers: `"6 seed units, 14 grown, 4 pruned, 16 now"`."""
    grown = len(descent.units) + len(descent.pruned) - descent.seeds
    return f"{descent.seeds:,} seed units, {grown:,} grown, {len(descent.pruned):,} pruned, {len(descent.units):,} now"


def _lane_height(units):
    """Height of a lane in pixels: roomy for few units, and a drawing of 720 pixels at the most for very many."""
    return min(7.0, max(1.2, 360 / max(1, units)), 720 / max(1, units))


def _lanes(everyone):
    """The lane of each unit: number -> the middle of its lane."""
    children = {}
    for unit in everyone:
        children.setdefault(unit.parent, []).append(unit.number)
    lanes, waiting = {}, children.get(None, [])[::-1]
    while waiting:
        number = waiting.pop()
        lanes[number] = len(lanes) + 0.5
        # Ascending by birth on a stack: the youngest comes off first and so lies nearest to its parent.
        waiting += children.get(number, [])
    return lanes


def _fate(unit):
    if unit.pruned_edit is not None:
        return "lost"
    return "seed" if unit.born_edit is None else "grown"


def _life(unit, lanes, place):
    lane = lanes[unit.number]
    until = _LENGTH if unit.pruned_edit is None else round(place[unit.pruned_edit], 1)
    if unit.born_edit is None:
        return f"M0 {lane}H{until:g}"
    return f"M{place[unit.born_edit]:.1f} {lanes[unit.parent]}V{lane}H{until:g}"


def _story(unit):
    birth = "seed unit"
    if unit.born_epoch is not None:
        birth = f"from unit {unit.parent} after epoch {unit.born_epoch}, of seed unit {unit.seed}"
    end = "" if unit.pruned_epoch is None else f", pruned after epoch {unit.pruned_epoch}"
    return f"unit {unit.number}: {birth}{end}"


def _paths(kind, lives, titled):
    if not lives:
        return []
    if not titled:
        return [f'<path class="{kind}" d="{"".join(life for life, _ in lives)}"/>']
    return [f'<path class="{kind}" d="{life}"><title>{html.escape(story)}</title></path>' for life, story in lives]
