"""A plan: which units each group is to have, as data."""

import json
from collections.abc import Mapping

import numpy as np

# No layer has this path: it ends with a slash.
_INVERSE = "inverse of/"


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
        content = json.loads(text)
        if _INVERSE in content:
            return InversePlan(Plan(content[_INVERSE]), content["new_units"])
        return cls(content)

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


class InversePlan(Plan):
    """The plan that takes a growth back: each unit's copies are merged into it again.

    Where the growth shared a unit's outgoing weights out, the shares are added up; where it divided incoming weights,
    they are multiplied. Without training in between, every weight is what it was, to rounding; after some training, the
    copies' outgoing weights join their parent's, and what they learned on the incoming side goes.

    As a mapping it says which units stay, as any plan does. It is made by `Report.inverse`.

    Args:
        growth: The `Plan` that is taken back.
        new_units: How its new units started, see `cgap_keras.apply`.
    """

    __slots__ = ("growth", "new_units")

    def __init__(self, growth, new_units):
        super().__init__({name: np.unique(index, return_index=True)[1] for name, index in growth.items()})
        self.growth, self.new_units = growth, new_units

    def __eq__(self, other):
        return isinstance(other, InversePlan) and (self.growth, self.new_units) == (other.growth, other.new_units)

    def __hash__(self):
        return hash((self.growth, self.new_units))

    def __repr__(self):
        return f"InversePlan({self.growth!r}, new_units={self.new_units!r})"

    def to_json(self):
        """The plan as JSON text, which `Plan.from_json` reads back."""
        return json.dumps({_INVERSE: json.loads(self.growth.to_json()), "new_units": self.new_units})

    def check(self, groups):
        """Raises a `ValueError` unless the groups have the widths that the growth gave them."""
        super().check(groups)
        sizes = {group.name: group.size for group in groups}
        for name, index in self.growth.items():
            if len(index) != sizes[name]:
                raise ValueError(
                    f"Group {name!r} has {sizes[name]} units, and the growth that is to be taken back left it with "
                    f"{len(index)}: it was edited since. Received: plan={self!r}"
                )


def is_new_unit(index):
    """For each new unit, whether it is a copy: not the first to come from its old unit."""
    index = np.asarray(index)
    first = np.zeros(index.max() + 1, int)
    # Of several writes to one place NumPy keeps the last, so from behind that of the first.
    first[index[::-1]] = np.arange(len(index))[::-1]
    return first[index] != np.arange(len(index))


def copies_of_unit(index):
    """For each new unit, how many units come from the same old one."""
    return np.bincount(index)[np.asarray(index)]


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
