import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgap_keras.report import Edit, Unit, lineage


def make_edit(epoch, plan):
    return Edit(epoch, epoch, "edit", 0, 0, 0, 0, 0, 0, widths={group: len(i) for group, i in plan.items()}, plan=plan)


@st.composite
def histories(draw):
    """An initial width and index vectors that fit one after the other: any mix of growth, pruning and reordering."""
    width = start = draw(st.integers(1, 6))
    indices = []
    for _ in range(draw(st.integers(0, 7))):
        indices.append(draw(st.lists(st.integers(0, width - 1), min_size=1, max_size=9)))
        width = len(indices[-1])
    return start, indices


def ancestry(indices, position):
    """Births of a final unit, its parent, and so on, read backwards through the index vectors; and the seed unit."""
    births = []
    for number in reversed(range(len(indices))):
        old = indices[number][position]
        if indices[number].index(old) != position:
            births.append(number)
        position = old
    return births, position


@settings(max_examples=150, deadline=None, derandomize=True)
@given(histories())
def test_composition_equals_gathering_edit_by_edit(history):
    start, indices = history
    composed = np.arange(start)
    for index in indices:
        composed = composed[index]
    descent = lineage([make_edit(1, {"g": index}) for index in indices], {"g": start})["g"]
    assert list(descent.index) == composed.tolist()
    assert [unit.seed for unit in descent.units] == composed.tolist()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(histories())
def test_births_and_parents_equal_a_walk_backwards(history):
    start, indices = history
    edits = [make_edit(3 * number + 2, {"g": index}) for number, index in enumerate(indices)]
    descent = lineage(edits, {"g": start})["g"]
    everyone = {unit.number: unit for unit in (*descent.units, *descent.pruned)}
    for position, unit in enumerate(descent.units):
        births, seed = ancestry(indices, position)
        walked = []
        while unit.parent is not None:
            assert unit.born_epoch == edits[unit.born_edit].epoch
            walked.append(unit.born_edit)
            unit = everyone[unit.parent]
        assert (walked, unit.number) == (births, seed)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(histories())
def test_every_unit_lives_or_was_pruned(history):
    start, indices = history
    descent = lineage([make_edit(1, {"g": index}) for index in indices], {"g": start})["g"]
    births = sum(len(index) - len(set(index)) for index in indices)
    widths = [start, *map(len, indices)]
    deaths = sum(width - len(set(index)) for width, index in zip(widths, indices, strict=False))
    numbers = sorted(unit.number for unit in (*descent.units, *descent.pruned))
    assert numbers == list(range(start + births))
    assert len(descent.pruned) == deaths
    assert all(unit.pruned_edit is None for unit in descent.units)


def test_a_small_history_by_hand():
    edits = [make_edit(2, {"a": [0, 1, 2, 1]}), make_edit(5, {"a": [3, 0, 3], "b": [1, 0]})]
    result = lineage(edits, {"a": 3, "b": 2, "c": 1})
    assert list(result) == ["a", "b", "c"]
    assert result["a"].index == (1, 0, 1)
    assert result["a"].units == (Unit(3, 1, 1, 0, 2), Unit(0, 0), Unit(4, 1, 3, 1, 5))
    assert result["a"].pruned == (Unit(1, 1, pruned_edit=1, pruned_epoch=5), Unit(2, 2, pruned_edit=1, pruned_epoch=5))
    assert result["b"].index == (1, 0)
    assert result["c"].units == (Unit(0, 0),)


def test_a_group_without_a_start_is_refused():
    with pytest.raises(ValueError, match=r"Received: widths0 without \['b'\]"):
        lineage([make_edit(1, {"b": [0]})], {"a": 1})


@pytest.mark.parametrize("widths0", [{"a": 2}, {"a": 0}])
def test_a_unit_that_does_not_exist_is_refused(widths0):
    with pytest.raises(ValueError, match=r"plan of edit 0 .* Received: plan\['a'\]=\[0, 2\]"):
        lineage([make_edit(1, {"a": [0, 2]})], widths0)
