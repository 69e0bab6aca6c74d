"""What a rule says about one layer, and the state that the rules build up together.

Every tensor of the graph has *labels*: an integer array that broadcasts to the tensor's shape and names, at each
element, the unit that the element belongs to (`FIXED` for none). An axis along which the labels do not change has size
1. A rule takes the labels of a call's inputs, says which variable axes make, carry or read those units, and returns the
labels of its outputs. Because labels are arrays, a layer that moves data (`Flatten`, `Concatenate`) does to the labels
what it does to the data.
"""

import contextlib
import dataclasses

import numpy as np

from cgap_keras.structure.graph import shape_of
from cgap_keras.structure.layout import FIXED
from cgap_keras.structure.units import Units


@dataclasses.dataclass(frozen=True)
class BoundAxis:
    """An axis of a variable with the unit at each of its positions."""

    layer: str
    variable: object
    axis: int
    role: str
    labels: np.ndarray


class Tracer:
    """Collects what the rules say."""

    def __init__(self):
        self.units = Units()
        self.axes = {}
        self.sizes = {}
        self._templates = {}
        self.bound = set()
        self._scope = ()

    def produce(self, call, variable, axis, key=None, labels=None):
        """The layer makes units: one for each slice of `variable` along `axis`.

        Args:
            call: The call of the layer.
            variable: The `keras.Variable` whose slices make the units.
            axis: The axis along which they lie.
            key: The layer's configuration key that holds their number, if there is one.
            labels: The units, where they are known already or several slices make one. Defaults to one unit a slice.

        Returns:
            The units, an integer array.
        """
        labels = self.units_of(variable, axis) if labels is None else labels
        self._bind(call, variable, axis, labels, "produce")
        if key:
            self.size(call, key, labels)
        return labels

    def units_of(self, variable, axis):
        """The units along an axis of a variable: those that are known, or a new one for each slice.

        A shared layer makes the same units at each of its calls.
        """
        known = self.known(variable, axis)
        return self.units.new(shape_of(variable)[axis]) if known is None else known

    def known(self, variable, axis):
        """The labels along an axis of a variable, or `None` if no rule has spoken of it."""
        bound = self.axes.get(_axis_id(variable, axis))
        return bound.labels if bound else None

    def size(self, call, key, template):
        """A configuration key of the layer holds a width.

        Args:
            call: The call of the layer.
            key: The key, such as `"filters"`.
            template: The units whose number it holds, an integer array. For a key that holds a shape, a tuple with
                such arrays in the place of the sizes that an edit changes.
        """
        self.sizes[call.path, (*self._scope, key)] = template
        known = self._templates.setdefault((id(call.operation), *self._scope, key), template)
        if known is template:
            return
        reason = f"`{call.path}` is called on other channels, and its `{key}` can only follow the ones or the others."
        for left, right in zip(*map(_entries, (known, template)), strict=True):
            if np.ndim(left) or np.ndim(right):
                self.tie(*(x if np.ndim(x) else np.full(1, FIXED) for x in (left, right)), reason)

    @contextlib.contextmanager
    def inside(self, *keys):
        """A scope in which `size` means the configuration of a layer inside the layer, found under these keys."""
        outer, self._scope = self._scope, (*self._scope, *keys)
        try:
            yield
        finally:
            self._scope = outer

    def carry(self, call, variable, axis, labels):
        """The slices of `variable` along `axis` belong to units made elsewhere: a normalisation's scale, a bias."""
        self._bind(call, variable, axis, labels, "carry")

    def consume(self, call, variable, axis, labels):
        """The layer reads units linearly, through the slices of `variable` along `axis`."""
        self._bind(call, variable, axis, labels, "consume")

    def tie(self, left, right, reason):
        """Two label arrays of one shape describe the same elements, so their units live and die together.

        Where a unit meets an element of no unit, the unit is frozen for the `reason` given.
        """
        if left is right:
            return
        if np.shape(left) != np.shape(right):
            left, right = np.broadcast_arrays(left, right)
        of_unit = (left != FIXED) & (right != FIXED)
        if of_unit.all():
            self.units.tie(left, right)
            return
        self.units.tie(left[of_unit], right[of_unit])
        self.units.freeze(left[right == FIXED], reason)
        self.units.freeze(right[left == FIXED], reason)

    def along(self, labels, axis, size, reason="it stands beside something of fixed width."):
        """The units along one axis, for a layer that treats every position of the other axes alike.

        Args:
            labels: Labels of a tensor.
            axis: The axis to read.
            size: The tensor's size along it.
            reason: Why a unit is frozen if at one position it meets an element of no unit.

        Returns:
            An integer array of `size` labels.
        """
        row = labels.reshape(-1)
        if len(row) > labels.shape[axis]:
            table = np.moveaxis(labels, axis, 0).reshape(labels.shape[axis], -1)
            row = table[:, 0]
            self.tie(table[:, :1], table, reason)
        return row if len(row) == size else np.broadcast_to(row, (size,))

    def _bind(self, call, variable, axis, labels, role):
        if variable is None:
            return
        key = _axis_id(variable, axis)
        self.bound.add(id(variable))
        known = self.axes.get(key)
        if known is None:
            self.axes[key] = BoundAxis(call.path, variable, key[1], role, np.asarray(labels))
        elif known.labels is not labels:
            self.tie(known.labels, labels, f"`{call.path}` is called on other channels that belong to no group.")


def fixed_labels(rank):
    """The labels of a tensor of `rank` axes without a unit."""
    return np.full((1,) * rank, FIXED, np.int64)


def varies(labels, shape, axis):
    """Whether units lie along an axis of a tensor.

    The only unit of a group may lie along any axis of size 1: its label alone does not tell.
    """
    return labels.shape[axis] > 1 or (shape[axis] == 1 and labels.size == 1 and labels.flat[0] != FIXED)


def spread(vector, axis, rank):
    """The labels of a tensor of `rank` axes whose units lie along `axis`."""
    shape = [1] * rank
    shape[axis] = len(vector)
    return np.reshape(vector, shape)


def _entries(template):
    return template if isinstance(template, tuple) else (template,)


def _axis_id(variable, axis):
    return id(variable), axis % variable.ndim
