"""Axes of a weight taken anew: in whichever way and blocks, what comes out is what one axis after the other gives."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgap_keras.surgery import gather
from cgap_keras.surgery.gather import EditedAxis, take_all


@st.composite
def weights_and_edits(draw):
    """A weight of up to four axes, and new positions for some of them."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    axes = draw(st.lists(st.sampled_from(range(len(shape))), min_size=1, unique=True).map(sorted))
    positions = [draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=8)) for axis in axes]
    edits = tuple(EditedAxis(axis, np.array(taken)) for axis, taken in zip(axes, positions, strict=True))
    return np.arange(np.prod(shape), dtype="float32").reshape(shape), edits


@pytest.mark.parametrize("block", [2**24, 64, 8])
@given(case=weights_and_edits())
def test_all_axes_at_once_are_one_after_the_other(block, case):
    value, edits = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "_BLOCK_BYTES", block)
        patch.setattr(gather, "_POSITIONS_BYTES", block)
        taken = take_all(value, edits)
    expected = functools.reduce(lambda x, edit: np.take(x, edit.positions, edit.axis), edits, value)
    np.testing.assert_array_equal(taken, expected)


def test_a_weight_that_does_not_lie_in_one_piece_is_taken_too():
    value = np.arange(60, dtype="float32").reshape(3, 5, 4).transpose(2, 0, 1)
    edits = EditedAxis(1, np.array([2, 0])), EditedAxis(2, np.array([4, 4, 1]))
    np.testing.assert_array_equal(take_all(value, edits), value[:, [2, 0]][:, :, [4, 4, 1]])
