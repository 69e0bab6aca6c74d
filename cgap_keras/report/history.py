"""The record of one edit: what a run keeps of each time that the network grew or shrank."""

import collections
import dataclasses
import operator
from collections.abc import Mapping

_COUNTS = ("epoch", "step", "units_before", "units_after", "params_before", "params_after", "macs_before", "macs_after")


@dataclasses.dataclass(frozen=True)
class Edit:
    """One edit of the network's structure during training.

    The values are kept as plain Python numbers, lists and dicts, whatever they come as (NumPy scalars and arrays
    included), so that `to_dict` can be written as JSON as it is. `==` compares by value.

    Args:
        epoch: How many epochs were complete when the edit was made: 4 for an edit between the fourth and the fifth,
            which is the number that `on_epoch_begin` gets for the fifth.
        step: The optimizer's step count at the edit.
        kind: What was done: `"grow"`, `"prune"`, or another word for an edit that is neither.
        units_before: Units of all groups together before the edit.
        units_after: The same after the edit.
        params_before: The model's parameters before the edit.
        params_after: The same after the edit.
        macs_before: Multiply-accumulates of one forward pass of one example before the edit.
        macs_after: The same after the edit.
        widths: Name of a group -> its units after the edit. A group that is left out has kept its width.
        plan: Name of a group -> its index list: new unit `j` comes from old unit `index[j]`. A group that is left out
            is unchanged.
        scores: Name of a group -> saliency of each unit before the edit. Defaults to none.
        seconds: What the edit cost, in seconds. Defaults to 0.

    Raises:
        ValueError: If a count is not a whole number or is negative, `kind` is empty, or `plan` and `widths` disagree
            about a group.

    Example:

    ```python
    plan = {"dense": [*range(96), *range(24)]}
    edit = Edit(4, 1876, "grow", 96, 120, 10482, 15230, 91000, 130500, widths={"dense": 120}, plan=plan)
    print(edit.describe())  # epoch 4 · grow · units 96 -> 120 · parameters 10,482 -> 15,230
    ```
    """

    epoch: int
    step: int
    kind: str
    units_before: int
    units_after: int
    params_before: int
    params_after: int
    macs_before: int
    macs_after: int
    widths: dict[str, int]
    plan: dict[str, list[int]]
    scores: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self):
        for name in _COUNTS:
            self._set(name, _count(name, getattr(self, name)))
        if not isinstance(self.kind, str) or not self.kind:
            raise ValueError(f'`kind` must be a word such as "grow" or "prune". Received: kind={self.kind!r}')
        self._set("widths", {str(group): _count("widths", units) for group, units in _items("widths", self.widths)})
        self._set(
            "plan", {str(group): [_count("plan", i) for i in index] for group, index in _items("plan", self.plan)}
        )
        self._set("scores", {str(group): [float(s) for s in row] for group, row in _items("scores", self.scores)})
        self._set("seconds", float(self.seconds))
        for group, index in self.plan.items():
            if group in self.widths and len(index) != self.widths[group]:
                raise ValueError(
                    f"`plan` and `widths` must agree: the index of group {group!r} makes {len(index)} units. "
                    f"Received: widths[{group!r}]={self.widths[group]}"
                )

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def to_dict(self):
        """The edit as a dict of plain values, ready for `json.dumps`; `from_dict` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Makes an edit of what `to_dict` returned.

        Args:
            values: A dict with the fields of `Edit` as keys; `scores` and `seconds` may be missing.

        Returns:
            An `Edit`.

        Raises:
            ValueError: If a field is missing, or a key is not a field.
        """
        fields = dataclasses.fields(cls)
        unknown = sorted(set(values) - {field.name for field in fields})
        missing = [
            field.name for field in fields if field.name not in values and field.name not in ("scores", "seconds")
        ]
        if unknown or missing:
            raise ValueError(
                f"`values` must have the fields of an Edit as keys; missing: {missing}, unknown: {unknown}. "
                f"Received: values with the keys {list(values)}"
            )
        return cls(**values)

    def describe(self):
        """The edit in one line, as training prints it."""
        return (
            f"epoch {self.epoch} · {self.kind} · units {self.units_before:,} -> {self.units_after:,} · "
            f"parameters {self.params_before:,} -> {self.params_after:,}"
        )


def as_edits(edits):
    """The edits as a tuple of `Edit`, whether they come as `Edit` or as the dicts of `Edit.to_dict`."""
    return tuple(edit if isinstance(edit, Edit) else Edit.from_dict(edit) for edit in edits)


def edit_times(edits):
    """Where the edits lie on an axis of epochs, in epochs since the start.

    An edit lies at the number of epochs that were complete then, which is where `fit` reported the metrics of the last
    of them. Several edits with the same number are spread evenly over the epoch that follows, since a record does not
    know how many steps an epoch has.

    Args:
        edits: A sequence of `Edit`, in the order in which they were made.

    Returns:
        A list of floats, one for each edit.
    """
    totals, seen, times = collections.Counter(edit.epoch for edit in edits), collections.Counter(), []
    for edit in edits:
        times.append(edit.epoch + seen[edit.epoch] / totals[edit.epoch])
        seen[edit.epoch] += 1
    return times


def widths_over_time(edits, initial_widths):
    """The width of each group at the start and after each edit.

    Args:
        edits: A sequence of `Edit`, in the order in which they were made.
        initial_widths: Name of a group -> its units at the start, in the order of the network.

    Returns:
        A dict: name of a group -> a list of `len(edits) + 1` widths, in the order of `initial_widths`.

    Raises:
        ValueError: If an edit names a group that `initial_widths` does not have.
    """
    rows = {str(group): [int(units)] for group, units in initial_widths.items()}
    for edit in edits:
        unknown = sorted({*edit.widths, *edit.plan} - set(rows))
        if unknown:
            raise ValueError(
                f"`initial_widths` must name every group of the edits. Received: initial_widths without {unknown}"
            )
        for group, row in rows.items():
            row.append(edit.widths.get(group, len(edit.plan[group]) if group in edit.plan else row[-1]))
    return rows


def _count(name, value):
    try:
        number = operator.index(value)
    except TypeError as error:
        raise ValueError(f"`{name}` must be a whole number. Received: {name}={value!r}") from error
    if number < 0:
        raise ValueError(f"`{name}` must not be negative. Received: {name}={number}")
    return number


def _items(name, value):
    if not isinstance(value, Mapping):
        raise ValueError(f"`{name}` must be a dict with the names of groups as keys. Received: {name}={value!r}")
    return value.items()
