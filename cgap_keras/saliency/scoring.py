"""From weights and gradients to one number a unit."""

import numpy as np
from keras import ops

from cgap_keras.saliency import criteria
from cgap_keras.structure.groups import find_variables
from cgap_keras.structure.layout import sum_over_axis


def score(groups, contributions):
    """Adds up, for each unit, what the weights of its slices contribute.

    Args:
        groups: The channel groups to score.
        contributions: `{(variable path, axis): array}`, what the slices of a variable along an axis contribute.

    Returns:
        A dictionary `{group name: float array, a saliency a unit}`.
    """
    scores = {}
    for group in groups:
        total = np.zeros(group.size)
        for axis in group.producers:
            if axis.key in contributions:
                total += sum_over_axis(axis.runs, contributions[axis.key], group.index, group.size)
        scores[group.name] = total
    return scores


def scored_axes(groups, criterion):
    """The variable axes that a criterion looks at."""
    axes = {axis.key: axis for group in groups for axis in group.producers}
    return [axis for axis in axes.values() if axis.role == "produce" or not criterion.kernels_only]


def reduce_to_axis(values, axis):
    """The sum of a tensor over all its axes but one."""
    return ops.sum(values, axis=[i for i in range(len(values.shape)) if i != axis])


def score_weights(model, groups, criterion="l1"):
    """Scores units by their weights alone.

    Args:
        model: The model that the groups were found in.
        groups: The channel groups to score.
        criterion: The name of a criterion that needs no gradient (`"l1"`, `"l2"`), or a `Criterion`.

    Returns:
        A dictionary `{group name: float array, a saliency a unit}`.

    Raises:
        ValueError: If the criterion needs gradients, which only training has.

    Example:

    ```python
    scores = score_weights(model, cgap_keras.find_groups(model), "l2")
    ```
    """
    criterion = criteria.get(criterion)
    if criterion.needs_gradient:
        raise ValueError(f"This criterion needs the gradients of training. Received: criterion={criterion.name!r}")
    variables, contributions = find_variables(model), {}
    for axis in scored_axes(groups, criterion):
        value = criterion.contribution(ops.convert_to_tensor(variables[axis.variable]), None)
        contributions[axis.key] = ops.convert_to_numpy(reduce_to_axis(value, axis.axis))
    return score(groups, contributions)
