"""A plan: which units each group is to have, as data."""

import json
from collections.abc import Mapping

import numpy as np


class Plan(Mapping):
    """An edit of some channel groups, as index vectors: new unit `j` of a group comes from old unit `index[j]`.

    A plan is an immutable mapping `{group name: index}`. Leaving a unit out prunes it, naming it twice grows a sibling,
    and any order is a reordering. Two plans are equal if they say the same, and a plan is hashable.

    Args:
        indices: A mapping from group names to sequences of unit numbers, each at least one unit long.

    Raises:
        TypeError: If a name is not a string or a unit is not an integer.
        ValueError: If an index is empty, or a unit number is negative.

    Example:

    ```python
    plan = cgap_keras.Plan({"conv2d_3": [0, 1, 2, 2]})  # of units 0 to 3, drop the last and double unit 2
    assert cgap_keras.Plan.from_json(plan.to_json()) == plan
    ```
    """

    __slots__ = ("_indices",)

    def __init__(self, indices):
        if not isinstance(indices, Mapping):
            raise TypeError(f"`indices` must map group names to index vectors. Received: indices={indices!r}")
        self._indices = {name: _checked_index(name, index) for name, index in indices.items()}

    def __getitem__(self, name):
        return self._indices[name]

    def __iter__(self):
        return iter(self._indices)

    def __len__(self):
        return len(self._indices)

    def __hash__(self):
        return hash(frozenset(self._indices.items()))

    def __repr__(self):
        return f"Plan({ {name: list(index) for name, index in self._indices.items()} })"

    def to_json(self):
        """The plan as JSON text, which `Plan.from_json` reads back."""
        return json.dumps({name: list(index) for name, index in self._indices.items()})

    @classmethod
    def from_json(cls, text):
        """Reads a plan that `to_json` wrote."""
        return cls(json.loads(text))

    def check(self, groups):
        """Raises a `ValueError` unless every edit of the plan can be made on these groups."""
        known = {group.name: group for group in groups}
        for name, index in self.items():
            if name not in known:
                raise ValueError(
                    f"The model has no such channel group; it has {', '.join(known)}. Received: group={name!r}"
                )
            group = known[name]
            if group.frozen and index != tuple(range(group.size)):
                raise ValueError(f"Group {name!r} cannot be edited: {group.frozen} Received: index={_short(index)}")
            if max(index) >= group.size:
                raise ValueError(f"Group {name!r} has units 0 to {group.size - 1}. Received: index={_short(index)}")


def is_new_unit(index):
    """For each new unit, whether it is a copy: not the first to come from its old unit."""
    _, first = np.unique(index, return_index=True)
    new = np.ones(len(index), bool)
    new[first] = False
    return new


def copies_of_unit(index):
    """For each new unit, how many units come from the same old one."""
    _, inverse, counts = np.unique(index, return_inverse=True, return_counts=True)
    return counts[inverse]


def _checked_index(name, index):
    if not isinstance(name, str):
        raise TypeError(f"A plan is keyed by the names of groups. Received: {name!r} of type {type(name).__name__}")
    array = np.asarray(index)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"The index of {name!r} must be a flat sequence of at least one unit. Received: index={index!r}"
        )
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"The index of {name!r} must hold integers. Received: index={index!r}")
    if array.min() < 0:
        raise ValueError(f"The index of {name!r} must count units from 0. Received: index={index!r}")
    return tuple(array.tolist())


def _short(index, limit=12):
    return f"[{', '.join(map(str, index[:limit]))}{', ...' if len(index) > limit else ''}]"
