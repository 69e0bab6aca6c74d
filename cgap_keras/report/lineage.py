"""Where each unit comes from: the index vectors of a run, composed.

An edit says that new unit `j` comes from old unit `index[j]`. Composed over all edits, the index vectors lead each unit
of the final network back to the unit of the seed that it descends from, and give each unit that ever lived a birth, a
parent and, if it was pruned, an end.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Unit:
    """One unit that lived in a group at some time of the run.

    Attributes:
        number: Identifies the unit within its group: seed units first, in their order, then the others in the order of
            birth.
        seed: The number of the seed unit that it descends from; a seed unit's own number.
        parent: The number of the unit that it was made from; `None` for a seed unit.
        born_edit: Position of the edit that made it in the list of edits; `None` for a seed unit.
        born_epoch: Epoch of that edit; `None` for a seed unit.
        pruned_edit: Position of the edit that removed it; `None` while it lives.
        pruned_epoch: Epoch of that edit; `None` while it lives.
    """

    number: int
    seed: int
    parent: int | None = None
    born_edit: int | None = None
    born_epoch: int | None = None
    pruned_edit: int | None = None
    pruned_epoch: int | None = None


@dataclasses.dataclass(frozen=True)
class Descent:
    """The descent of one group's units.

    Attributes:
        group: The group's name.
        seeds: How many units the group had at the start.
        index: The composed index vector: unit `j` of the final group descends from seed unit `index[j]`.
        units: The `Unit`s of the final group, in its order.
        pruned: The `Unit`s that were removed, in the order of their numbers.
    """

    group: str
    seeds: int
    index: tuple[int, ...]
    units: tuple[Unit, ...]
    pruned: tuple[Unit, ...]


def lineage(edits, widths0):
    """Traces each unit of the final network to its seed unit, its birth and its parent.

    Where an index vector names an old unit more than once, the first mention is the old unit living on and the others
    are its children.

    Args:
        edits: A sequence of `Edit`, in the order in which they were made.
        widths0: Name of a group -> its units before the first edit.

    Returns:
        A dict: name of a group -> `Descent`, in the order of `widths0`.

    Raises:
        ValueError: If a plan names a group that `widths0` does not have, or a unit that the group does not have at that
            time.

    Example:

    ```python
    descent = lineage(edits, {"conv2d": 6, "dense": 20})["conv2d"]
    descent.index  # (0, 1, 3, 3): two units of the final group descend from seed unit 3
    [unit.parent for unit in descent.units]  # [None, None, None, 3]
    ```
    """
    unknown = sorted({group for edit in edits for group in edit.plan} - set(widths0))
    if unknown:
        raise ValueError(
            f"`widths0` must name every group that the edits' plans name. Received: widths0 without {unknown}"
        )
    return {group: _descent(group, int(width), edits) for group, width in widths0.items()}


def _descent(group, width, edits):
    everyone = {number: Unit(number, number) for number in range(width)}
    living = list(everyone)
    for position, edit in enumerate(edits):
        if group in edit.plan:
            living = _step(everyone, living, edit.plan[group], position, edit.epoch, group)
    units = tuple(everyone[number] for number in living)
    pruned = tuple(unit for unit in everyone.values() if unit.pruned_edit is not None)
    return Descent(group, width, tuple(unit.seed for unit in units), units, pruned)


def _step(everyone, living, index, position, epoch, group):
    """Applies one index vector to the numbers of the living units; records births and ends in `everyone`."""
    after, seen = [], set()
    for old in index:
        if not 0 <= old < len(living):
            raise ValueError(
                f"The plan of edit {position} must name units of group {group!r} that exist then: 0 to "
                f"{len(living) - 1}. Received: plan[{group!r}]={list(index)}"
            )
        number = living[old]
        if number in seen:
            parent, number = everyone[number], len(everyone)
            everyone[number] = Unit(number, parent.seed, parent.number, position, epoch)
        seen.add(number)
        after.append(number)
    for number in set(living) - seen:
        everyone[number] = dataclasses.replace(everyone[number], pruned_edit=position, pruned_epoch=epoch)
    return after
