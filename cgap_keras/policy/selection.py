"""The longest list of changes that a budget allows, and the plan that they make."""

from cgap_keras.surgery.plan import Plan


def longest_prefix(candidates, fits):
    """How many of the candidates can be taken, in order, while `fits` holds. `fits` must not come back once lost.

    Args:
        candidates: A sequence.
        fits: A function of a number of candidates that is true up to some number and false from there on.

    Returns:
        The largest number that fits.
    """
    low, high = 0, len(candidates)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def units_by_group(chosen):
    """`{group name: units}` of some `(group name, units)`."""
    by_group = {}
    for name, units in chosen:
        by_group.setdefault(name, []).extend(units)
    return by_group


def grow_plan(groups, chosen):
    """The plan in which each chosen unit gets a sibling, behind the units that are there."""
    siblings = units_by_group(chosen)
    return Plan({g.name: [*range(g.size), *sorted(siblings[g.name])] for g in groups if g.name in siblings})


def prune_plan(groups, chosen):
    """The plan in which each chosen unit is left out."""
    left_out = {name: set(units) for name, units in units_by_group(chosen).items()}
    return Plan({g.name: [u for u in range(g.size) if u not in left_out[g.name]] for g in groups if g.name in left_out})


def planned_widths(groups, chosen, change):
    """`{group name: units}` of the groups of which some units were chosen, which `change` each by one."""
    sizes = {group.name: group.size for group in groups}
    return {name: sizes[name] + change * len(units) for name, units in units_by_group(chosen).items()}
