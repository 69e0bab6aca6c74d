"""Runs: how the units of groups lie along an axis. Properties over random axes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgap_keras.structure.layout import (
    FIXED,
    Run,
    gather_positions,
    parse_runs,
    resize_runs,
    spread_over_axis,
    sum_over_axis,
)

GROUPS = 3


@st.composite
def axes(draw):
    """Sizes of some groups, and the runs of an axis along which they lie."""
    sizes = draw(st.lists(st.integers(2, 5), min_size=GROUPS, max_size=GROUPS))
    runs = []
    for group in draw(st.lists(st.integers(FIXED, GROUPS - 1), max_size=6)):
        if group == FIXED:
            # Two fixed runs in a row are read as one.
            if not runs or runs[-1].group != FIXED:
                runs.append(Run(FIXED, draw(st.integers(1, 4))))
        else:
            runs.append(Run(group, sizes[group], draw(st.integers(1, 3))))
    return sizes, tuple(runs)


@st.composite
def edited_axes(draw):
    """An axis, and an index vector for some of its groups."""
    sizes, runs = draw(axes())
    edited = draw(st.sets(st.integers(0, GROUPS - 1)))
    return sizes, runs, {group: draw(index_of(sizes[group])) for group in sorted(edited)}


def index_of(size):
    return st.lists(st.integers(0, size - 1), min_size=1, max_size=2 * size).map(np.array)


def positions_by_hand(runs):
    """Group and rank of each position, one at a time."""
    groups, ranks = [], []
    for run in runs:
        for unit in range(run.units):
            for _ in range(run.repeat):
                groups.append(run.group)
                ranks.append(0 if run.group == FIXED else unit)
    return np.array(groups, int), np.array(ranks, int)


@given(axes())
def test_runs_are_read_back(axis):
    sizes, runs = axis
    assert parse_runs(*positions_by_hand(runs), sizes) == runs


@given(axes(), st.data())
def test_units_out_of_place_have_no_runs(axis, data):
    sizes, runs = axis
    groups, ranks = positions_by_hand(runs)
    movable = [i for i, group in enumerate(groups) if group != FIXED]
    if not movable:
        assert parse_runs(groups, ranks, sizes) == runs
        return
    place = data.draw(st.sampled_from(movable))
    ranks[place] = (ranks[place] + 1) % sizes[groups[place]]
    parsed = parse_runs(groups, ranks, sizes)
    # A unit in another's place: either no whole runs, or others that describe exactly these positions.
    assert parsed is None or np.array_equal(positions_by_hand(parsed), (groups, ranks))


def test_a_cut_run_is_no_run():
    assert parse_runs(np.array([0, 0, 0]), np.array([0, 1, 0]), [2]) is None
    assert parse_runs(np.array([0, 0]), np.array([1, 0]), [2]) is None
    assert parse_runs(np.array([0, 1, 0]), np.array([0, 0, 1]), [2, 1]) is None
    assert parse_runs(np.array([], int), np.array([], int), []) == ()


@given(axes())
def test_gathering_by_the_identity_changes_nothing(axis):
    sizes, runs = axis
    identity = {group: np.arange(size) for group, size in enumerate(sizes)}
    size = sum(run.size for run in runs)
    assert np.array_equal(gather_positions(runs, identity), np.arange(size))
    assert np.array_equal(gather_positions(runs, {}), np.arange(size))


@given(edited_axes())
def test_gathered_positions_hold_the_units_of_the_index(edit):
    _, runs, indices = edit
    groups, ranks = positions_by_hand(runs)
    taken = gather_positions(runs, indices)
    new_groups, new_ranks = positions_by_hand(resize_runs(runs, indices))
    assert np.array_equal(groups[taken], new_groups)
    for group, index in indices.items():
        here = new_groups == group
        assert np.array_equal(ranks[taken][here], np.asarray(index)[new_ranks[here]])
    fixed = new_groups == FIXED
    assert np.array_equal(taken[fixed], np.flatnonzero(groups == FIXED))


@given(edited_axes(), st.data())
def test_two_edits_are_the_edit_of_the_composed_index(edit, data):
    _, runs, first = edit
    second = {group: data.draw(index_of(len(index))) for group, index in first.items()}
    composed = {group: index[second[group]] for group, index in first.items()}
    after_first = gather_positions(runs, first)
    after_both = after_first[gather_positions(resize_runs(runs, first), second)]
    assert np.array_equal(after_both, gather_positions(runs, composed))
    assert resize_runs(resize_runs(runs, first), second) == resize_runs(runs, composed)


@given(axes(), st.integers(0, 2**32 - 1))
def test_summing_is_the_adjoint_of_spreading(axis, seed):
    sizes, runs = axis
    rng = np.random.default_rng(seed)
    vector = rng.normal(size=sum(run.size for run in runs))
    for group, size in enumerate(sizes):
        values = rng.normal(size=size)
        spread = spread_over_axis(runs, {group: values}, fill=0.0)
        assert np.isclose(spread @ vector, values @ sum_over_axis(runs, vector, group, size))


@given(axes(), st.integers(0, 2**32 - 1))
def test_spread_values_stand_at_their_units(axis, seed):
    sizes, runs = axis
    values = {group: np.random.default_rng(seed + group).normal(size=size) for group, size in enumerate(sizes)}
    groups, ranks = positions_by_hand(runs)
    expected = [7.0 if group == FIXED else values[group][rank] for group, rank in zip(groups, ranks, strict=True)]
    assert np.array_equal(spread_over_axis(runs, values, fill=7.0), expected)


@pytest.mark.parametrize(("run", "size"), [(Run(0, 3), 3), (Run(0, 3, 2), 6), (Run(FIXED, 4), 4)])
def test_size_of_a_run(run, size):
    assert run.size == size
