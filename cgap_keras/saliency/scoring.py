"""From what a criterion says of layers to one number a unit."""

import numpy as np
from keras import ops

from cgap_keras.saliency import criteria
from cgap_keras.saliency.readings import score_readings
from cgap_keras.saliency.slices import Slices, find_rows
from cgap_keras.structure.groups import find_variables
from cgap_keras.structure.layout import Run, sum_over_axis


def score(groups, contributions):
    """Adds up, for each unit, what a criterion says of the positions that belong to it.

    Args:
        groups: The channel groups to score.
        contributions: `(runs, array)` pairs: the groups along some positions, and a number for each position.

    Returns:
        A dictionary `{group name: float array, a saliency a unit}`.
    """
    scores = {group.index: np.zeros(group.size) for group in groups}
    for runs, values in contributions:
        for index in scores.keys() & {run.group for run in runs}:
            scores[index] += sum_over_axis(runs, values, index, len(scores[index]))
    return {group.name: scores[group.index] for group in groups}


def score_weights(model, groups, criterion="l1", seed=None):
    """Scores units by what the model is now, without a step of training.

    Args:
        model: The model that the groups were found in.
        groups: The channel groups to score.
        criterion: The name of a criterion that needs no gradients, or a `Criterion`. Defaults to `"l1"`.
        seed: Integer seed of a criterion that draws at random; `None` draws other numbers at every call.

    Returns:
        A dictionary `{group name: float array, a saliency a unit}`.

    Raises:
        ValueError: If the criterion needs gradients, which only training has, or has nothing to look at in a group that
            is not frozen.

    Example:

    ```python
    scores = score_weights(model, cgap_keras.find_groups(model), "l2")
    ```
    """
    criterion = criteria.get(criterion)
    if criterion.needs == "gradients":
        raise ValueError(f"This criterion needs the gradients of training. Received: criterion={criterion.name!r}")
    contributions = _SOURCES[criterion.needs](model, groups, criterion, seed)
    criterion.check_found(groups, [runs for runs, _ in contributions])
    return score(groups, contributions)


def _by_weights(model, groups, criterion, seed):
    rows = find_rows(groups, find_variables(model), criterion.side)
    values = [(row.runs, criterion(row.slices(_read))) for row in rows]
    return [(runs, ops.convert_to_numpy(x)) for runs, x in values if x is not None]


def _read(variable):
    # An array is laid out by NumPy, where JAX would compile each operation for every shape.
    return ops.convert_to_numpy(variable.value).astype("float32")


def _by_activations(model, groups, criterion, seed):
    return score_readings(model, groups, criterion)


def _by_chance(model, groups, criterion, seed):
    generator = np.random.default_rng(seed)
    return [(_alone(x), criterion(Slices(x.name, x.size, generator=generator))) for x in groups]


def _alone(group):
    return (Run(group.index, group.size),)


# What a criterion needs, and who shows it.
_SOURCES = {"weights": _by_weights, "activations": _by_activations, "nothing": _by_chance}
