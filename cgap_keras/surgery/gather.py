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
        """The value with each new position multiplied by its factor."""
        if self.scale is None:
            return value
        shape = [1] * value.ndim
        shape[self.axis] = len(self.scale)
        return (value * self.scale.reshape(shape)).astype(value.dtype)

    def disturb(self, value, noise, rng):
        """The value with noise on the slices of new units, relative to the standard deviation of each slice."""
        if self.noisy is None or not noise or not self.noisy.any():
            return value
        slices = np.moveaxis(value, self.axis, 0).copy()
        fresh = slices[self.noisy].astype(np.float64)
        deviation = fresh.std(axis=tuple(range(1, fresh.ndim)), keepdims=True)
        slices[self.noisy] = fresh + noise * deviation * rng.standard_normal(fresh.shape)
        return np.moveaxis(slices, 0, self.axis)


def edited_axes(groups, plan, new_units="split"):
    """What a plan does to the variables of a model.

    Args:
        groups: The model's channel groups.
        plan: A `Plan`.
        new_units: How new units are made, see `cgap_keras.apply`.

    Returns:
        A dictionary `{variable path: tuple of EditedAxis}` with the variables that change.
    """
    indices = {group.index: np.array(plan[group.name]) for group in groups if group.name in plan}
    axes = {axis.key: axis for group in groups if group.index in indices for axis in group.axes}
    producing = {axis.layer for axis in axes.values() if axis.role == "produce"}
    edits = {}
    for axis in axes.values():
        edits.setdefault(axis.variable, []).append(_edited_axis(axis, indices, new_units, axis.layer in producing))
    return {variable: tuple(sorted(changes, key=lambda x: x.axis)) for variable, changes in edits.items()}


def edited_shape(shape, edits):
    """The shape of a variable after an edit of some of its axes."""
    shape = list(shape)
    for edit in edits:
        shape[edit.axis] = len(edit.positions)
    return tuple(shape)


def edit_weights(value, edits, noise=0.0, rng=None):
    """A weight after an edit: gathered, shared out among copies, new units disturbed."""
    for edit in edits:
        value = edit.rescale(edit.take(value))
    for edit in edits:
        value = edit.disturb(value, noise, rng)
    return value


def edit_slot(value, edits):
    """An optimizer slot after an edit: a new unit goes on with its parent's state."""
    for edit in edits:
        value = edit.take(value)
    return value


def _edited_axis(axis, indices, new_units, made_here):
    runs = resize_runs(axis.runs, indices)
    factors = {group: _unit_scale(axis.role, made_here, index, new_units) for group, index in indices.items()}
    scale = spread_over_axis(runs, factors)
    noisy = None
    if axis.role == "produce":
        noisy = spread_over_axis(runs, {g: is_new_unit(index) for g, index in indices.items()}, fill=0.0).astype(bool)
    return EditedAxis(axis.axis, gather_positions(axis.runs, indices), None if np.all(scale == 1) else scale, noisy)


def _unit_scale(role, made_here, index, new_units):
    """The factor of each new unit's slice.

    `"split"` shares the outgoing weights out (Chen, Goodfellow, Shlens, "Net2Net", ICLR 2016, section 3.1), `"zero"`
    leaves them with the parent, and `"cgap"` scales parent and copies on the side where they are made.
    """
    if new_units == "split" and role == "consume":
        return 1.0 / copies_of_unit(index)
    if new_units == "zero" and role == "consume":
        return np.where(is_new_unit(index), 0.0, 1.0)
    if new_units == "cgap" and made_here and role != "consume":
        return 1.0 / copies_of_unit(index)
    return np.ones(len(index))
