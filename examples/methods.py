"""The ways to come to a compact network that an experiment compares.

Each is a function of a `Task` that returns the network to begin with, and the callback that edits it or `None`.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Callable

import keras

import cgap_keras
from cgap_keras.policy import WidthCost
from cgap_keras.zoo.blocks import scaled


@dataclasses.dataclass(frozen=True)
class Task:
    """What a method is asked to do.

    Attributes:
        settings: The settings of the run, `{name: value}`.
        build: A function of `width` that makes the network with new weights.
        steps: Training steps of the whole run.
    """

    settings: dict
    build: Callable
    steps: int

    def __getitem__(self, name):
        """A setting."""
        return self.settings[name]

    def dense_cost(self):
        """What the dense network costs, in the run's currency."""
        return getattr(cgap_keras.cost(self.build(width=1.0)), self["currency"])


def free_groups(network):
    """The channel groups that can be resized, a list."""
    return [group for group in cgap_keras.find_groups(network) if not group.frozen]


def dense(task):
    """The network at its full width."""
    return task.build(width=1.0), None


def narrow(task):
    """The network with all layers made narrower by the same share, down to the target."""
    full = task.build(width=1.0)
    groups = free_groups(full)
    cost_at = WidthCost(full, groups, task["currency"])
    target = task["target"] * cost_at()
    # By bisection: the cost does not fall as the width rises.
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        fits = cost_at({group.name: scaled(group.size, middle) for group in groups}) <= target
        low, high = (middle, high) if fits else (low, middle)
    if not low:
        raise ValueError(
            "--target must leave at least one unit a layer, which cost "
            f"{cost_at({group.name: 1 for group in groups}) / cost_at():.3f} of the dense network. "
            f"Received: --target={task['target']}"
        )
    return task.build(width=low), None


def retrain(task):
    """The structure of another run, with new weights."""
    path = pathlib.Path(task["structure"])
    found = keras.models.load_model(path, compile=False) if path.suffix == ".keras" else _with_widths(task, path)
    # A clone has the widths, and weights of its own.
    return keras.models.clone_model(found), None


def _with_widths(task, path):
    row = json.loads(path.read_text())
    if row["model"] != task["model"]:
        raise ValueError(
            "--structure must be a row of the same network. "
            f"Received: --structure={path} of {row['model']}, --model={task['model']}"
        )
    full = task.build(width=1.0)
    sizes = {group.name: group.size for group in free_groups(full)}
    changed = {name: units for name, units in row["widths"].items() if units != sizes[name]}
    # The weights are drawn anew, so it does not matter which units are taken.
    plan = {name: [unit % sizes[name] for unit in range(units)] for name, units in changed.items()}
    return cgap_keras.rebuild(full, cgap_keras.Plan(plan))


def prune(task):
    """The network at its full width, trained as it is for a while and then pruned while it trains on."""
    full = task.build(width=1.0)
    every = _spacing(task, task["prune_steps"], begin=task["dense_share"])
    return full, _editor(task, [_pruning(task)], every)


def cgap(task):
    """A narrow seed, grown and pruned while it trains."""
    seed, capacity = task.build(width=task["seed_width"]), _budget(task, "capacity")
    options = _given(task, "new_units", "noise", "scope", "normalize")
    growth = cgap_keras.GrowthPolicy(capacity, task["growth_rate"], **options)
    growths, prunings = _count_growths(seed, capacity, task["growth_rate"]), task["prune_steps"]
    share = task["growth_share"]
    if share is None:
        every = _spacing(task, growths + prunings)
    else:
        # The wait of the second begins where growth has ended.
        wait = max(0.0, task["dense_share"] - share)
        every = _spacing(task, growths, length=share), _spacing(task, prunings, wait, 1 - share)
    return seed, _editor(task, [growth, _pruning(task)], every)


def _pruning(task):
    ranking = _given(task, "scope", "normalize", "round_to")
    return cgap_keras.PruningPolicy(_budget(task, "target"), task["prune_steps"], **ranking)


def _editor(task, phases, every):
    return cgap_keras.StructureCallback(phases, every=every, criterion=task["criterion"], seed=task["seed"])


def _budget(task, share):
    """A share of what the dense network costs."""
    return cgap_keras.Budget(task[share] * task.dense_cost(), task["currency"])


def _given(task, *names):
    """Those of some settings that are not left to the library."""
    return {name: task[name] for name in names if task[name] is not None}


def _count_growths(network, capacity, rate):
    """How many edits it takes to grow to a capacity, where each group grows by the same share."""
    groups = free_groups(network)
    cost_at, widths = WidthCost(network, groups, capacity.currency), {group.name: group.size for group in groups}
    count = 0
    while cost_at(widths) < capacity.amount:
        widths, count = {name: units + math.ceil(rate * units) for name, units in widths.items()}, count + 1
    return count


def _spacing(task, edits, begin=0.0, length=1.0):
    """When some edits come, so that the last of all leaves the rest of the run for fine-tuning.

    Args:
        task: The `Task`.
        edits: How many.
        begin: How long to wait before the first interval, as a share of the steps before fine-tuning.
        length: The share of these steps that the wait and the intervals take together.
    """
    if task["every"] is not None:
        return task["every"]
    before_fine_tuning = (1 - task["fine_tune"]) * task.steps
    wait = int(begin * before_fine_tuning)
    steps = (int(length * before_fine_tuning) - wait) // max(1, edits)
    if not steps:
        raise ValueError(
            f"The run is too short: {edits} edits have to fit into the steps before fine-tuning. Raise --epochs, or "
            f"lower --fine_tune. Received: {task.steps} steps, --fine_tune={task['fine_tune']}"
        )
    return cgap_keras.Steps(steps, wait)


METHODS = {function.__name__: function for function in (dense, narrow, retrain, prune, cgap)}
