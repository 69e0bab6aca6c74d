"""Which units lie along one axis of a variable, and where they go when a group is edited.

An axis of a variable is a row of *runs*. A run holds every unit of one channel group in order, each `repeat` times in a
row (a depthwise multiplier), or it holds positions that belong to no group. `Dense` after `Flatten` has a kernel axis
of `height * width` runs of the same group; after a `Concatenate`, runs of several.
"""

import dataclasses

import numpy as np

FIXED = -1


@dataclasses.dataclass(frozen=True)
class Run:
    """Consecutive positions of an axis.

    Attributes:
        group: Index of the channel group whose units lie here, each once and in order; `FIXED` for positions that no
            edit changes.
        units: How many units the run holds (positions, for a `FIXED` run).
        repeat: How many positions in a row each unit takes.
    """

    group: int
    units: int
    repeat: int = 1

    @property
    def size(self):
        return self.units * self.repeat


def parse_runs(group_of, rank_of, sizes):
    """Reads the runs of one axis.

    Args:
        group_of: Integer array, the group at each position; `FIXED` for none.
        rank_of: Integer array, which unit of the group stands at each position.
        sizes: How many units each group has.

    Returns:
        A tuple of `Run`, or `None` if the units do not stand in whole, ordered runs.
    """
    runs, start = [], 0
    while start < len(group_of):
        group = group_of[start]
        run = _fixed_run(group_of[start:]) if group == FIXED else _group_run(group, rank_of[start:], sizes[group])
        stop = start + run.size
        expected = np.repeat(np.arange(run.units), run.repeat)
        if stop > len(group_of) or np.any(group_of[start:stop] != group):
            return None
        if group != FIXED and np.any(rank_of[start:stop] != expected):
            return None
        runs.append(run)
        start = stop
    return tuple(runs)


def gather_positions(runs, indices):
    """The old position that each new position of an axis is taken from.

    Args:
        runs: The runs of the axis.
        indices: `{group: index}`, the index vector of each edited group.

    Returns:
        An integer array: the new axis is the old one taken at these positions.
    """
    parts, start = [np.empty(0, np.int64)], 0
    for run in runs:
        units = indices.get(run.group, np.arange(run.units))
        parts.append((start + np.asarray(units)[:, None] * run.repeat + np.arange(run.repeat)).ravel())
        start += run.size
    return np.concatenate(parts)


def spread_over_axis(runs, values, fill=1.0):
    """Lays one value a unit out along an axis.

    Args:
        runs: The runs of the axis, of the new sizes.
        values: `{group: array}`, a value for each unit of some groups.
        fill: The value at every other position.

    Returns:
        A float array, a value a position.
    """
    parts = [np.empty(0)]
    for run in runs:
        parts.append(
            np.repeat(np.asarray(values[run.group], float), run.repeat)
            if run.group in values
            else np.full(run.size, fill)
        )
    return np.concatenate(parts)


def sum_over_axis(runs, vector, group, size):
    """Adds up what stands at the positions of each unit of a group: the reverse of `spread_over_axis`.

    Args:
        runs: The runs of the axis.
        vector: Array, a value a position.
        group: The group to add up.
        size: How many units it has.

    Returns:
        A float array, a sum a unit.
    """
    total, start = np.zeros(size), 0
    for run in runs:
        if run.group == group:
            total += np.asarray(vector[start : start + run.size], float).reshape(run.units, run.repeat).sum(axis=1)
        start += run.size
    return total


def resize_runs(runs, indices):
    """The runs of an axis after an edit."""
    return tuple(
        dataclasses.replace(run, units=len(indices[run.group])) if run.group in indices else run for run in runs
    )


def _fixed_run(group_of):
    others = np.flatnonzero(group_of != FIXED)
    return Run(FIXED, int(others[0]) if len(others) else len(group_of))


def _group_run(group, rank_of, size):
    others = np.flatnonzero(rank_of != rank_of[0])
    # A group of one unit shows no period of its own; `find_groups` refuses it where it stands more than once.
    repeat = 1 if size == 1 else (int(others[0]) if len(others) else len(rank_of))
    return Run(int(group), size, repeat)
