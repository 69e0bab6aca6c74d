"""Unroll factors: how many iterations of each loop run at once, and the cycles that follow."""

import math
from collections.abc import Mapping

LOOPS = ("of", "if", "ox", "oy", "kx", "ky", "oxy")
# The loops that stay unrolled where the array runs another kind of layer than a convolution.
KIND_LOOPS = {"conv": LOOPS, "depthwise": ("ox", "oy", "oxy", "kx", "ky"), "fully_connected": ("of", "if")}
OTHER_LOOPS = ("of", "ox", "oy", "oxy")


class FrozenMapping(Mapping):
    """An immutable, hashable mapping.

    Args:
        values: A mapping, or pairs, to take a copy of.
    """

    def __init__(self, values):
        self._values = dict(values)

    def __getitem__(self, key):
        return self._values[key]

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)

    def __hash__(self):
        return hash(frozenset(self._values.items()))

    def __repr__(self):
        return repr(self._values)

    def to_json(self):
        """The values as a plain dict."""
        return dict(self._values)


class Unroll(FrozenMapping):
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
        super().__init__((loop, factors[loop]) for loop in LOOPS if loop in factors)

    def factor(self, loop):
        """The factor of a loop, 1 where it is not unrolled."""
        return self._values.get(loop, 1)

    @property
    def units(self):
        """How many iterations run at once: the MAC units of the array."""
        return math.prod(self._values.values())

    @property
    def line_words(self):
        """Words of the input and of the weight buffer that the array takes at once.

        Kernel positions that run at once take neighbouring pixels, which registers hold.
        """
        return self._product("if", "ox", "oy", "oxy"), self._product("if", "kx", "ky", "of")

    def only(self, *loops):
        """The same factors with every other loop rolled up."""
        return Unroll({loop: factor for loop, factor in self._values.items() if loop in loops})

    def for_kind(self, kind):
        """The factors that are left for a kind of layer, `"conv"`, `"depthwise"`, `"fully_connected"` or another."""
        return self.only(*KIND_LOOPS.get(kind, OTHER_LOOPS))

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
        if "oxy" in self._values:
            pixels = ceil_div(n_ox * n_oy, self._values["oxy"])
        else:
            pixels = ceil_div(n_ox, self.factor("ox")) * ceil_div(n_oy, self.factor("oy"))
        kernel = ceil_div(n_kx, self.factor("kx")) * ceil_div(n_ky, self.factor("ky"))
        sums = kernel * ceil_div(n_if, self.factor("if"))
        return max(sums, drain) * pixels * ceil_div(n_of, self.factor("of"))

    def reads(self, *sizes, **loops):
        """Words read from the input and from the weight buffer: what the array takes in a cycle, for every cycle.

        An upper bound, since neighbouring windows share pixels that registers may hold.

        Args:
            *sizes: As in `cycles`.
            **loops: As in `cycles`.

        Returns:
            `(pixels, weights)`.
        """
        cycles = self.cycles(*sizes, **loops)
        shared = self._product("if", "kx", "ky")
        return cycles * shared * self._product("ox", "oy", "oxy"), cycles * shared * self.factor("of")

    def drain(self, words_per_cycle):
        """Cycles in which the results of one pass, one for each unrolled output, leave at so many words a cycle."""
        return 1 if words_per_cycle is None else ceil_div(self._product("of", "ox", "oy", "oxy"), words_per_cycle)

    def _product(self, *loops):
        return math.prod(self.factor(loop) for loop in loops)


def ceil_div(a, b):
    """`ceil(a / b)` in integers; elementwise for arrays."""
    return -(-a // b)
