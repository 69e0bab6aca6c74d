"""Unroll factors: how many iterations of each loop run at once, and the cycles that follow."""

import math
from collections.abc import Mapping

LOOPS = ("of", "if", "ox", "oy", "kx", "ky", "oxy")


class Unroll(Mapping):
    """An immutable, hashable mapping from a loop to its unroll factor.

    A loop that is not named has the factor 1. `"oxy"` is the loop over all output pixels, rows and columns as one; it
    excludes `"ox"` and `"oy"`.

    Args:
        factors: A mapping from `"of"`, `"if"`, `"ox"`, `"oy"`, `"kx"`, `"ky"` or `"oxy"` to a positive int.
        argument: What error messages call the mapping.

    Raises:
        ValueError: On an unknown loop, a factor that is not a positive int, or `"oxy"` beside `"ox"` or `"oy"`.
        TypeError: If `factors` is no mapping.
    """

    def __init__(self, factors, argument="unroll"):
        if not isinstance(factors, Mapping):
            raise TypeError(f"`{argument}` must be a dict from loop to factor. Received: {argument}={factors!r}")
        for loop, factor in factors.items():
            if loop not in LOOPS:
                raise ValueError(
                    f"`{argument}` has an unknown loop {loop!r}; the loops are {', '.join(LOOPS)}. "
                    f"Received: {argument}={dict(factors)}"
                )
            if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1:
                raise ValueError(f"`{argument}[{loop!r}]` must be a positive int. Received: {argument}={dict(factors)}")
        if "oxy" in factors and ("ox" in factors or "oy" in factors):
            raise ValueError(
                f"`{argument}` must name either 'oxy' or 'ox' and 'oy': 'oxy' is both as one loop. "
                f"Received: {argument}={dict(factors)}"
            )
        self._factors = {loop: factors[loop] for loop in LOOPS if loop in factors}

    def __getitem__(self, loop):
        return self._factors[loop]

    def __iter__(self):
        return iter(self._factors)

    def __len__(self):
        return len(self._factors)

    def __hash__(self):
        return hash(tuple(self._factors.items()))

    def __repr__(self):
        return repr(self._factors)

    def factor(self, loop):
        """The factor of a loop, 1 where it is not unrolled."""
        return self._factors.get(loop, 1)

    @property
    def units(self):
        """How many iterations run at once: the MAC units of the array."""
        return math.prod(self._factors.values())

    def only(self, *loops):
        """The same factors with every other loop rolled up."""
        return Unroll({loop: factor for loop, factor in self._factors.items() if loop in loops})

    def cycles(self, n_kx=1, n_ky=1, n_if=1, n_ox=1, n_oy=1, n_of=1, drain=1):
        """Cycles of a loop nest: the product over the loops of `ceil(N / P)`.

        The formula is that of Ma et al., FPGA 2017. Sizes may be integer arrays.

        Args:
            n_kx: Kernel width.
            n_ky: Kernel height.
            n_if: Input maps.
            n_ox: Output width.
            n_oy: Output height.
            n_of: Output maps.
            drain: Cycles in which the results of one pass leave the array, while the next pass runs; a pass takes no
                less.

        Returns:
            The number of cycles.
        """
        if "oxy" in self._factors:
            pixels = ceil_div(n_ox * n_oy, self._factors["oxy"])
        else:
            pixels = ceil_div(n_ox, self.factor("ox")) * ceil_div(n_oy, self.factor("oy"))
        kernel = ceil_div(n_kx, self.factor("kx")) * ceil_div(n_ky, self.factor("ky"))
        sums = kernel * ceil_div(n_if, self.factor("if"))
        return max(sums, drain) * pixels * ceil_div(n_of, self.factor("of"))

    def drain(self, words_per_cycle):
        """Cycles in which the results of one pass, one for each unrolled output, leave at so many words a cycle."""
        results = math.prod(self.factor(loop) for loop in ("of", "ox", "oy", "oxy"))
        return 1 if words_per_cycle is None else ceil_div(results, words_per_cycle)


def ceil_div(a, b):
    """`ceil(a / b)` in integers; elementwise for arrays."""
    return -(-a // b)
