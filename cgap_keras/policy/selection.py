"""Which units to take: ranking over groups, and the longest list of changes that a budget allows."""

import numpy as np

from cgap_keras.surgery.plan import Plan


def normalize(scores):
    """Saliencies as multiples of their group's mean, so that groups of different layers can be ranked together.

    Args:
        scores: `{group name: float array}`.

    Returns:
        The same, divided by each group's mean; ones where every saliency is zero.
    """
    return {name: x / x.mean() if x.mean() > 0 else np.ones_like(x) for name, x in scores.items()}


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


def count_by_group(candidates):
    """`{group name: how many}` of some `(group name, unit)` candidates."""
    counts = {}
    for name, _ in candidates:
        counts[name] = counts.get(name, 0) + 1
    return counts


def grow_plan(groups, chosen):
    """The plan in which each chosen `(group name, unit)` gets a sibling, behind the units that are there."""
    siblings = _by_group(chosen)
    return Plan({g.name: [*range(g.size), *sorted(siblings[g.name])] for g in groups if g.name in siblings})


def prune_plan(groups, chosen):
    """The plan in which each chosen `(group name, unit)` is left out."""
    left_out = {name: set(units) for name, units in _by_group(chosen).items()}
    return Plan({g.name: [u for u in range(g.size) if u not in left_out[g.name]] for g in groups if g.name in left_out})


def _by_group(chosen):
    units = {}
    for name, unit in chosen:
        units.setdefault(name, []).append(unit)
    return units
