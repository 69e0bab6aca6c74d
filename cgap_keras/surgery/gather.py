"""The one operation behind every edit: take an axis anew by an index vector.

Weights, statistics, optimizer slots and averages all move by `EditedAxis.take`; `scale` is what shares a unit's
outgoing weights out among its copies.
"""

import dataclasses

import numpy as np

from cgap_keras.structure.layout import gather_positions, resize_runs, spread_over_axis
from cgap_keras.surgery.plan import copies_of_unit, is_new_unit

NEW_UNITS = ("split", "zero", "cgap")


@dataclasses.dataclass(frozen=True)
class EditedAxis:
    """What becomes of one axis of a variable.

    Attributes:
        axis: The axis.
        positions: The old position behind each new one.
        scale: A factor for each new position, or `None` for ones.
        noisy: Whether each new position belongs to a new unit made here, or `None`.
    """

    axis: int
    positions: np.ndarray
    scale: np.ndarray | None = None
    noisy: np.ndarray | None = None

    def take(self, value):
        """The value with this axis taken anew."""
        return np.take(value, self.positions, self.axis)

    def rescale(self, value):
        """Multiplies each new position of the value by its factor, in place."""
        if self.scale is not None:
            shape = [1] * value.ndim
            shape[self.axis] = len(self.scale)
            # Written out at once, the products would take twice the memory of the value: they have double precision.
            np.multiply(value, self.scale.reshape(shape), out=value, casting="unsafe")

    def disturb(self, value, noise, rng):
        """Adds noise to the slices of new units, relative to the standard deviation of each slice, in place."""
        if self.noisy is None or not noise:
            return
        slices = np.moveaxis(value, self.axis, 0)
        for position in np.flatnonzero(self.noisy):
            fresh = slices[position].astype(np.float64)
            slices[position] = fresh + noise * fresh.std() * rng.standard_normal(fresh.shape)


def edited_axes(groups, plan, new_units="split"):
    """What a plan does to the variables of a model.

    Args:
        groups: The model's channel groups.
        plan: A `Plan`.
        new_units: How new units are made, see `cgap_keras.apply`.

    Returns:
        A dictionary `{variable path: tuple of EditedAxis}` with the variables that change.
    """
    copies = {group.index: _Copies(plan[group.name]) for group in groups if group.name in plan}
    axes = {axis.key: axis for group in groups if group.index in copies for axis in group.axes}
    producing = {axis.layer for axis in axes.values() if axis.role == "produce"}
    edits = {}
    for axis in axes.values():
        edits.setdefault(axis.variable, []).append(_edited_axis(axis, copies, new_units, axis.layer in producing))
    return {variable: tuple(sorted(changes, key=lambda x: x.axis)) for variable, changes in edits.items()}


def edited_shape(shape, edits):
    """The shape of a variable after an edit of some of its axes."""
    shape = list(shape)
    for edit in edits:
        shape[edit.axis] = len(edit.positions)
    return tuple(shape)


def edits_of_slot(edits, axes):
    """What the edits of a variable are for a slot that has some of its axes, in their order."""
    return tuple(dataclasses.replace(x, axis=axes.index(x.axis)) for x in edits if x.axis in axes)


def edit_weights(value, edits, noise=0.0, rng=None):
    """A weight after an edit: gathered, shared out among copies, new units disturbed."""
    for edit in edits:
        value = edit.take(value)
        edit.rescale(value)
    for edit in edits:
        edit.disturb(value, noise, rng)
    return value


def edit_slot(value, edits):
    """An optimizer slot after an edit: a new unit goes on with its parent's state."""
    for edit in edits:
        value = edit.take(value)
    return value


class _Copies:
    """An index vector, and what it says about each new unit: the number of its siblings, and whether it is new."""

    def __init__(self, index):
        self.index, self.counts, self.is_new = np.array(index), copies_of_unit(index), is_new_unit(index)

    def scale(self, role, made_here, new_units):
        """The factor of each new unit's slice.

        `"split"` shares the outgoing weights out (Chen, Goodfellow, Shlens, "Net2Net", ICLR 2016, section 3.1),
        `"zero"` leaves them with the parent, and `"cgap"` scales parent and copies on the side where they are made.
        """
        if new_units == "split" and role == "consume":
            return 1.0 / self.counts
        if new_units == "zero" and role == "consume":
            return np.where(self.is_new, 0.0, 1.0)
        if new_units == "cgap" and made_here and role != "consume":
            return 1.0 / self.counts
        return np.ones(len(self.index))


def _edited_axis(axis, copies, new_units, made_here):
    here = {run.group: copies[run.group] for run in axis.runs if run.group in copies}
    indices = {group: of_group.index for group, of_group in here.items()}
    runs = resize_runs(axis.runs, indices)
    scale = spread_over_axis(
        runs, {group: of_group.scale(axis.role, made_here, new_units) for group, of_group in here.items()}
    )
    noisy = None
    if axis.role == "produce":
        noisy = spread_over_axis(runs, {group: of_group.is_new for group, of_group in here.items()}, fill=0.0)
        noisy = noisy.astype(bool)
    return EditedAxis(axis.axis, gather_positions(axis.runs, indices), None if np.all(scale == 1) else scale, noisy)
