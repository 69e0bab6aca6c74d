"""Widths that devices like.

Kernels of real devices work on 4 or 8 channels at a time, and what is missing to the next multiple is computed all the
same. A small network cannot afford to be rounded so coarsely, so a multiple is asked for only where it moves a width by
a quarter at most: with 8, multiples of 8 from 32 units on, of 4 from 16, of 2 from 8, and any width below.
"""

import numpy as np


def multiple_at(width, round_to):
    """The number that a width has to be a multiple of: the largest power of two up to `round_to` and `width / 4`."""
    return 2 ** max(min(round_to, width // 4).bit_length() - 1, 0)


def is_aligned(width, round_to):
    """Whether a width is one that may be kept."""
    return width % multiple_at(width, round_to) == 0


def aligned_below(width, round_to):
    """The widths below one that may be kept, the largest first."""
    return [smaller for smaller in range(width - 1, 0, -1) if is_aligned(smaller, round_to)]


def efficient(costs):
    """The widths that waste less than half a unit, where the cost falls in steps.

    An array of many multipliers takes as long for a unit as for all that it works on at once. The lower convex hull of
    the cost runs along the widths at which none of it idles; at any other, the distance to the hull is what idle units
    cost, here compared with what a unit costs on the hull. Where each unit costs as much as the next, every width is
    efficient.

    Args:
        costs: `{width: cost}`, the cost rising with the width.

    Returns:
        A list of widths, the largest first. The greatest is among them, and one that costs as little as the least.
    """
    widths = np.array(sorted(costs))
    values = np.array([costs[width] for width in widths.tolist()], float)
    hull = []
    for i in range(len(widths)):
        while len(hull) > 1 and _slope(widths, values, hull[-2], i) <= _slope(widths, values, hull[-2], hull[-1]):
            hull.pop()
        hull.append(i)
    lowest = np.interp(widths, widths[hull], values[hull])
    # What the last unit of each width costs on the hull.
    unit = np.diff(lowest, prepend=lowest[0]) / np.diff(widths, prepend=widths[0] - 1)
    kept = values - lowest < 0.5 * unit
    kept[hull] = True
    # Nor is a width worth keeping that costs as much as the next.
    kept[:-1] &= values[:-1] < values[1:]
    return widths[kept][::-1].tolist()


def _slope(widths, values, i, j):
    return (values[j] - values[i]) / (widths[j] - widths[i])
