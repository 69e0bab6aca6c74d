"""The designs that no other design beats in everything."""

import numpy as np


def pareto_front(table, columns):
    """The rows of a table that no other row beats: less or equal in every cost, and less in one.

    Args:
        table: Floats of shape `(rows, at least columns)`.
        columns: How many columns, from the first, are costs. The others decide which of rows with equal costs is
            taken: the one that comes first by them.

    Returns:
        Indices of rows, by ascending cost, the first column counting most.
    """
    costs = table[:, :columns]
    sums = (costs / np.maximum(costs.min(0, initial=np.inf), 1e-300)).sum(1)
    left, kept = np.arange(len(table)), []
    while len(left):
        # No row beats one with the least sum; where rounding makes sums equal, the first in order is not beaten.
        ties = left[sums[left] == sums[left].min()]
        pivot = ties[np.lexsort(table[ties, ::-1].T)[0]]
        kept.append(pivot)
        left = left[(costs[left] < costs[pivot]).any(1)]
    kept = np.array(kept, int)
    return kept[np.lexsort(table[kept, ::-1].T)]
