"""The one operation behind every edit: take an axis anew by an index vector.

Weights, statistics, optimizer slots and averages all move by `EditedAxis.take`; `scale` is what shares a unit's
outgoing weights out among its copies.
"""

import dataclasses
import functools
import math

import numpy as np

from cgap_keras.structure.layout import gather_positions, resize_runs, spread_over_axis
from cgap_keras.surgery.arrays import empty
from cgap_keras.surgery.plan import InversePlan, copies_of_unit, is_new_unit

NEW_UNITS = ("split", "zero", "cgap")

_BLOCK_BYTES, _POSITIONS_BYTES = 2**24, 2**16
# Every position is there: `Plan.check` has seen to it. To raise an error, NumPy would take a second copy.
_UNCHECKED = "clip"


@dataclasses.dataclass(frozen=True)
class EditedAxis:
    """What becomes of one axis of a variable.

    Attributes:
        axis: The axis.
        positions: The old position behind each new one.
        merged: More old positions that go into the new ones: `(positions, weights)` pairs, each with a weight of 0 or 1
            for every new position.
        scale: A factor for each new position, or `None` for ones.
        noisy: Whether each new position gets noise, or `None`.
        balanced: Whether the noise of the copies of one old position adds up to nothing.
    """

    axis: int
    positions: np.ndarray
    scale: np.ndarray | None = None
    noisy: np.ndarray | None = None
    merged: tuple = ()
    balanced: bool = False

    def take(self, value, places=slice(None), out=None):
        """The value with this axis taken anew, or some places of it, in an array that may be given."""
        taken = np.take(value, self.positions[places], self.axis, out=out, mode=_UNCHECKED)
        for positions, weights in self.merged:
            weights = _along(self.axis, weights[places], value).astype(value.dtype)
            taken += weights * np.take(value, positions[places], self.axis)
        return taken

    def rescale(self, value):
        """Multiplies each new position of the value by its factor, in place."""
        if self.scale is not None:
            # Written out at once, the products would take twice the memory of the value: they have double precision.
            np.multiply(value, _along(self.axis, self.scale, value), out=value, casting="unsafe")

    def disturb(self, value, noise, rng):
        """Adds noise to slices of new units, relative to the standard deviation of their parents', in place."""
        if self.noisy is None or not noise:
            return
        slices = np.moveaxis(value, self.axis, 0)
        for copies in self._noisy_together():
            shares = slices[copies].astype(np.float64)
            slices[copies] = shares + noise * _noise(shares, rng, self.balanced)

    def _noisy_together(self):
        """The positions whose noise is drawn at once: all copies of an old one where it is balanced, or one each."""
        noisy = np.flatnonzero(self.noisy)
        if not self.balanced:
            return noisy[:, None]
        noisy = noisy[np.argsort(self.positions[noisy], kind="stable")]
        return np.split(noisy, np.flatnonzero(np.diff(self.positions[noisy])) + 1)


def edited_axes(groups, plan, new_units="split"):
    """What a plan does to the variables of a model.

    Args:
        groups: The model's channel groups.
        plan: A `Plan`.
        new_units: How new units are made, see `cgap_keras.apply`.

    Returns:
        A dictionary `{variable path: tuple of EditedAxis}` with the variables that change.
    """
    kind = _Merged if isinstance(plan, InversePlan) else _Copies
    copies = {group.index: kind(plan, group.name) for group in groups if group.name in plan}
    axes = {axis.key: axis for group in groups if group.index in copies for axis in group.axes}
    producing = {axis.layer for axis in axes.values() if axis.role == "produce"}
    read = {run.group for axis in axes.values() if axis.role == "consume" for run in axis.runs}
    edits, of_row = {}, {}
    for axis in axes.values():
        row = axis.runs, axis.role, axis.layer in producing
        if row not in of_row:
            of_row[row] = _edited_row(*row, copies, read, new_units)
        edits.setdefault(axis.variable, []).append(EditedAxis(axis.axis, *of_row[row]))
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


def take_all(value, edits):
    """The value with every edited axis taken anew, in memory that a tensor can have."""
    new = empty(edited_shape(value.shape, edits), value.dtype)
    are_neighbours = len(edits) == 2 and edits[1].axis == edits[0].axis + 1
    if are_neighbours and not any(edit.merged for edit in edits):
        _take_pair(value, *edits, new)
    else:
        _take_each(value, edits, new)
    return new


def _take_pair(value, first, second, new):
    """Takes two neighbouring axes at once, as the one axis that they are in memory, so that nothing stands in between.

    The positions take memory as well: in blocks, where no axes lie in front that share them.
    """
    height, width, *inner = value.shape[first.axis :]
    outer, inner = math.prod(value.shape[: first.axis]), math.prod(inner)
    rows, columns = len(first.positions), len(second.positions)
    flat, target = value.reshape(outer, height * width, inner), new.reshape(outer, rows * columns, inner)
    blocks = _blocks(rows, new.size * first.positions.itemsize, _POSITIONS_BYTES) if outer == 1 else [slice(0, rows)]
    for places in blocks:
        positions = (first.positions[places, np.newaxis] * width + second.positions).ravel()
        here = target[:, places.start * columns : places.stop * columns]
        np.take(flat, positions, 1, out=here, mode=_UNCHECKED)


def _take_each(value, edits, new):
    """Takes one axis after the other; a large value in blocks, or what the first ones leave would stand there whole."""
    *others, last = edits
    if not others or value.nbytes <= _BLOCK_BYTES:
        last.take(functools.reduce(lambda taken, edit: edit.take(taken), others, value), out=new)
        return
    slices = np.moveaxis(new, edits[0].axis, 0)
    for places in _blocks(len(slices), value.nbytes, _BLOCK_BYTES):
        taken = functools.reduce(lambda taken, edit: edit.take(taken), edits[1:], edits[0].take(value, places))
        slices[places] = np.moveaxis(taken, edits[0].axis, 0)


def _blocks(size, nbytes, block):
    """The places along an axis in slices, each for about so many bytes as a block has."""
    step = math.ceil(size / max(1, math.ceil(nbytes / block)))
    return [slice(start, start + step) for start in range(0, size, step)]


def edit_weights(value, edits, noise=0.0, rng=None):
    """A weight after an edit: gathered, shared out among copies, new units disturbed."""
    value = take_all(value, edits)
    for edit in edits:
        edit.rescale(value)
    for edit in edits:
        edit.disturb(value, noise, rng)
    return value


def edit_slot(value, edits):
    """An optimizer slot after an edit: a new unit goes on with its parent's state, and a merged one with its own."""
    return take_all(value, [dataclasses.replace(edit, merged=()) for edit in edits])


class _Copies:
    """An index vector, and what it says about each new unit: the number of its siblings, and whether it is new."""

    def __init__(self, plan, name):
        self.index = np.array(plan[name])
        self.counts, self.is_new = copies_of_unit(self.index), is_new_unit(self.index)
        self.is_plain = not self.is_new.any()

    def merged(self, role, new_units):
        """Further old units that go into each new one: `(index vector, weights)` pairs."""
        return []

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

    def noisy(self, role, new_units, is_read):
        """Which new units' slices get noise.

        Where the outgoing weights are shared out, it is in their shares, and leaves their sum as it is; elsewhere, and
        where no weight reads the unit, it is in the incoming weights of new units.
        """
        in_shares = new_units == "split" and is_read
        if role == "consume":
            return (self.counts > 1) & in_shares
        return self.is_new & (role == "produce" and not in_shares)


class _Merged:
    """What an inverse plan says about each unit that stays: the copies that are merged into it."""

    def __init__(self, plan, name):
        self.index, self._growth, self._new_units = np.array(plan[name]), np.array(plan.growth[name]), plan.new_units
        self.counts, self.is_new = np.bincount(self._growth), np.zeros(len(self.index), bool)
        self.is_plain = False

    def merged(self, role, new_units):
        """The outgoing weights of copies, where they were shared out: the first copy of each unit, the second, ..."""
        if role != "consume" or self._new_units == "cgap":
            return []
        # Stable, so that a unit's copies follow each other in the order of the index.
        order, first = np.argsort(self._growth, kind="stable"), np.cumsum(self.counts) - self.counts
        ranks = range(1, self.counts.max())
        return [(order[np.where(rank < self.counts, first + rank, first)], rank < self.counts) for rank in ranks]

    def noisy(self, role, new_units, is_read):
        """No slices: nothing is new."""
        return self.is_new

    def scale(self, role, made_here, new_units):
        """The factor of each unit's slice: incoming weights that were divided are multiplied."""
        divided = self._new_units == "cgap" and made_here and role != "consume"
        return self.counts.astype(float) if divided else np.ones(len(self.index))


def _along(axis, vector, value):
    """A vector that broadcasts along an axis of a value."""
    return vector.reshape([len(vector) if i == axis else 1 for i in range(value.ndim)])


def _noise(shares, rng, balanced):
    """Noise for some slices of a weight, with the standard deviation of what they add up to; what it adds up to itself
    is nothing where it is balanced.
    """
    parent, noise = shares.sum(0), rng.standard_normal(shares.shape)
    if balanced:
        noise = (noise - noise.mean(0)) * math.sqrt(len(shares) / (len(shares) - 1))
    # A single weight has no deviation, nor have weights that are all the same.
    return (parent.std() or np.abs(parent).mean()) * noise


def _edited_row(runs, role, made_here, copies, read, new_units):
    """What an `EditedAxis` with these runs holds behind its axis."""
    here = {run.group: copies[run.group] for run in runs if run.group in copies}
    indices = {group: of_group.index for group, of_group in here.items()}
    positions = gather_positions(runs, indices)
    if all(of_group.is_plain for of_group in here.values()):
        return (positions,)
    resized = resize_runs(runs, indices)
    scale = spread_over_axis(
        resized, {group: of_group.scale(role, made_here, new_units) for group, of_group in here.items()}
    )
    noise = {group: of_group.noisy(role, new_units, group in read) for group, of_group in here.items()}
    noisy = spread_over_axis(resized, noise, fill=0.0).astype(bool)
    merged = _merged_row(runs, resized, {group: of_group.merged(role, new_units) for group, of_group in here.items()})
    scale, noisy = None if np.all(scale == 1) else scale, noisy if noisy.any() else None
    return positions, scale, noisy, merged, role == "consume"


def _merged_row(runs, resized, merged):
    """What is merged along an axis: `(positions, weights)` pairs, for `{group: (index vector, weights) pairs}`."""
    rows = []
    for rank in range(max(map(len, merged.values()))):
        now = {group: pairs[rank] for group, pairs in merged.items() if rank < len(pairs)}
        weights = spread_over_axis(resized, {group: weights for group, (_, weights) in now.items()}, fill=0.0)
        absent = {run.group: np.zeros(run.units, np.int64) for run in resized if run.group in merged}
        positions = gather_positions(runs, absent | {group: index for group, (index, _) in now.items()})
        rows.append((positions, weights))
    return tuple(rows)
