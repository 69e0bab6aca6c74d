"""Widths that devices like.

Kernels of real devices work on 4 or 8 channels at a time, and what is missing to the next multiple is computed all the
same. A small network cannot afford to be rounded so coarsely, so a multiple is asked for only where it moves a width by
a quarter at most: with 8, multiples of 8 from 32 units on, of 4 from 16, of 2 from 8, and any width below.
"""


def multiple_at(width, round_to):
    """The number that a width has to be a multiple of: the largest power of two up to `round_to` and `width / 4`."""
    return 2 ** max(min(round_to, width // 4).bit_length() - 1, 0)


def is_aligned(width, round_to):
    """Whether a width is one that may be kept."""
    return width % multiple_at(width, round_to) == 0


def aligned_below(width, round_to):
    """The widths below one that may be kept, the largest first."""
    return [smaller for smaller in range(width - 1, 0, -1) if is_aligned(smaller, round_to)]
