"""A systolic array: a grid of MAC units through which operands move in step."""

import dataclasses

from tflite_export.fpga.accelerators.unroll import Unroll, ceil_div

# The loops of the matrix product that lie along the rows and the columns of the array, and the one that streams through
# it: Samajdar et al., "A Systematic Methodology for Characterizing Scalability of DNN Accelerators using SCALE-Sim",
# ISPASS 2020.
DATAFLOWS = {
    "weight_stationary": ("k", "n", "m"),
    "output_stationary": ("m", "n", "k"),
    "input_stationary": ("k", "m", "n"),
}


@dataclasses.dataclass(frozen=True)
class Systolic:
    """A systolic array of `rows * columns` MAC units, in place of the unroll factors of an `Accelerator`.

    A layer runs as a product of an `m x k` matrix of pixels, one row for each output pixel, with a `k x n` matrix of
    weights, one column for each output map; `k` counts the kernel positions of all input maps. The matrices are cut
    into folds of the array's size, which run one after the other. A fold loads its stationary operand row by row,
    streams the other one in, skewed, and drains, before the next one starts:

    - weight-stationary `ceil(k / R) * ceil(n / C) * (2R + C + m - 2)` cycles,
    - output-stationary `ceil(m / R) * ceil(n / C) * (R + C + k - 2)`,
    - input-stationary `ceil(k / R) * ceil(m / C) * (2R + C + n - 2)`,

    which are the cycles of SCALE-Sim 3.0.0. Because of the fill and the drain **a larger array can take more cycles**.
    A layer that is cut in tiles pays both once more for each tile, so that a layer which lost a filter, and is cut in
    another way for it, can take a little more as well.

    - Groups of a convolution run one after the other.
    - In a depthwise layer each output map is a product of its own with `n = 1`.
    - A fully connected layer has `m = 1`.
    - Pooling, elementwise and upsampling layers have no weights to multiply with; they run in a vector unit behind the
      array that takes one output map a column (`pool_unroll` describes another).

    Args:
        rows: Rows of MAC units, `R`.
        columns: Columns of MAC units, `C`.
        dataflow: The operand that stays in the array: `"weight_stationary"`, `"output_stationary"` or
            `"input_stationary"`.

    Raises:
        ValueError: If a size is not a positive int, or the dataflow is not known.

    Example:

    ```python
    array = Systolic(16, 16, "weight_stationary")
    array.cycles(n_kx=3, n_ky=3, n_if=32, n_ox=14, n_oy=14, n_of=64)  # 18 * 4 * (32 + 16 + 196 - 2) = 17424
    ```
    """

    rows: int
    columns: int
    dataflow: str

    def __post_init__(self):
        for field in ("rows", "columns"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"`{field}` must be a positive int. Received: {field}={value!r}")
        if self.dataflow not in DATAFLOWS:
            raise ValueError(f"`dataflow` must be one of {', '.join(DATAFLOWS)}. Received: dataflow={self.dataflow!r}")

    @property
    def units(self):
        """MAC units of the array."""
        return self.rows * self.columns

    @property
    def line_words(self):
        """Words of the input and of the weight buffer that the array takes at once: one a row, one a column."""
        across = DATAFLOWS[self.dataflow][1]
        return (self.columns, self.rows) if across == "m" else (self.rows, self.columns)

    def factor(self, loop):
        """The step in which a loop is cut: the columns for output maps that lie along them, else 1."""
        return self.columns if loop == "of" and DATAFLOWS[self.dataflow][1] == "n" else 1

    def for_kind(self, kind):
        """What a kind of layer runs on: the array itself, one output map after the other, or the vector unit."""
        if kind == "depthwise":
            return _MapByMap(self.rows, self.columns, self.dataflow)
        return self if kind in ("conv", "fully_connected") else Unroll({"of": self.columns})

    def cycles(self, n_kx=1, n_ky=1, n_if=1, n_ox=1, n_oy=1, n_of=1, drain=1):
        """Cycles of a loop nest as SCALE-Sim 3.0.0 counts them; sizes may be integer arrays.

        `drain` has no effect: the formula counts it.
        """
        sizes = {"m": n_ox * n_oy, "k": n_kx * n_ky * n_if, "n": n_of}
        folds = self._folds(sizes)
        load = 0 if self.dataflow == "output_stationary" else self.rows
        streamed = sizes[DATAFLOWS[self.dataflow][2]]
        return folds["m"] * folds["k"] * folds["n"] * (load + self.rows + self.columns - 2 + streamed)

    def reads(self, n_kx=1, n_ky=1, n_if=1, n_ox=1, n_oy=1, n_of=1, drain=1):
        """Words read from the input and from the weight buffer, as SCALE-Sim 3.0.0 counts its SRAM reads.

        Each operand is read once for every fold along the loop that it does not have.
        """
        sizes = {"m": n_ox * n_oy, "k": n_kx * n_ky * n_if, "n": n_of}
        folds = self._folds(sizes)
        return sizes["m"] * sizes["k"] * folds["n"], sizes["k"] * sizes["n"] * folds["m"]

    def drain(self, words_per_cycle):
        """1: each column lets go of a result a cycle, which `cycles` counts; another rate is refused."""
        if words_per_cycle is not None:
            raise ValueError(
                "`output_words_per_cycle` must be None with a systolic array, whose columns each let go of a result a "
                f"cycle. Received: output_words_per_cycle={words_per_cycle}"
            )
        return 1

    def to_json(self):
        """The array as a dict of plain values."""
        return dataclasses.asdict(self)

    def _folds(self, sizes):
        """How often the array is filled along each loop; the one that streams through it counts once."""
        down, across, streamed = DATAFLOWS[self.dataflow]
        return {
            down: ceil_div(sizes[down], self.rows),
            across: ceil_div(sizes[across], self.columns),
            streamed: 1,
        }


class _MapByMap(Systolic):
    """The array in a depthwise layer: a product of its own for each output map."""

    def factor(self, loop):
        return 1

    def cycles(self, n_kx=1, n_ky=1, n_if=1, n_ox=1, n_oy=1, n_of=1, drain=1):
        return n_of * super().cycles(n_kx, n_ky, n_if, n_ox, n_oy)

    def reads(self, n_kx=1, n_ky=1, n_if=1, n_ox=1, n_oy=1, n_of=1, drain=1):
        pixels, weights = super().reads(n_kx, n_ky, n_if, n_ox, n_oy)
        return n_of * pixels, n_of * weights
