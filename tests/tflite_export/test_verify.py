"""The bounds: what passes, what does not, computed by hand."""

import dataclasses

import numpy as np
import pytest

from tflite_export.quantization import QUANTIZATIONS, Tolerance
from tflite_export.verify import accuracy, compare

# Range 10: the bounds are 0.5 for the greatest and 0.2 for the mean difference.
ROW = dataclasses.replace(QUANTIZATIONS["int8"], tolerance=Tolerance(0.05, 0.02, 0.9))
EXPECTED = np.zeros((10, 4), "float32")
EXPECTED[np.arange(10), np.arange(10) % 4] = 10.0


def check(actual, expected=EXPECTED, step=0.0):
    return compare({"y": expected}, {"y": actual}, ROW, {"y": step})[0]


def test_figures_of_a_known_difference():
    actual = EXPECTED.copy()
    actual[2, 1] += 0.4
    error = check(actual)
    assert (error.max_abs, error.mean_abs, error.span) == pytest.approx((0.4, 0.01, 10.0))
    assert error.argmax_agreement == 1.0


def test_greatest_difference_is_bounded():
    actual = EXPECTED.copy()
    actual[2, 1] += 0.51
    with pytest.raises(ValueError, match=r"greatest error 0.51 \(bound 0.5\)"):
        check(actual)


def test_mean_difference_is_bounded():
    assert check(EXPECTED + 0.19).mean_abs == pytest.approx(0.19)
    with pytest.raises(ValueError, match=r"mean error 0.21 \(bound 0.2\)"):
        check(EXPECTED + 0.21)


def test_two_steps_of_the_grid_are_free():
    actual = EXPECTED.copy()
    actual[2, 1] += 0.9
    assert check(actual, step=0.25).max_abs == pytest.approx(0.9)
    with pytest.raises(ValueError, match="bound 0.9"):
        check(actual + 0.01, step=0.2)


def test_two_steps_of_float32_are_free():
    """An output that hardly moves about a thousand, where neighbouring numbers are 6.1e-5 apart."""
    expected = np.linspace(1000, 1000.0005, 10, dtype="float32")[:, None]
    step = np.float32(2.0**-14)
    assert check(expected + 2 * step, expected).max_abs == 2 * step
    with pytest.raises(ValueError, match="out of bound"):
        check(expected + 4 * step, expected)


def test_decisions_must_agree_where_they_are_clear():
    expected = EXPECTED.copy()
    expected[:2] = [[5.0, 4.55, 0.0, 0.0], [5.0, 4.9, 0.0, 0.0]]
    tied = expected.copy()
    # A lead of 0.1 is less than twice the mean bound, so either order is right; a lead of 0.45 is not.
    tied[1, :2] = [4.9, 5.0]
    assert check(tied, expected).argmax_agreement == 0.9
    swapped = expected.copy()
    swapped[0, :2] = [4.7, 4.9]
    with pytest.raises(ValueError, match=r"88.9% of the decided samples agree \(bound 90.0%\)"):
        check(swapped, expected)


def test_values_that_are_not_finite_are_refused():
    actual = EXPECTED.copy()
    actual[0, 0] = np.nan
    with pytest.raises(ValueError, match="1 values not finite"):
        check(actual)


def test_other_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(10, 3\)"):
        check(EXPECTED[:, :3])


def test_constant_output_is_bounded_by_its_size():
    expected = np.full((5, 1), 2.0)
    assert check(expected + 0.03, expected).span == 2.0
    with pytest.raises(ValueError, match="bound 0.1"):
        check(expected + 0.2, expected)


def test_accuracy_counts_right_answers():
    assert accuracy(EXPECTED, np.array([0, 1, 2, 3, 0, 1, 2, 0, 0, 0])) == 0.8
