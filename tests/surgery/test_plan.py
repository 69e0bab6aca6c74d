"""Plans as values."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgap_keras import Plan, find_groups
from cgap_keras.surgery.plan import copies_of_unit, is_new_unit
from tests.models import build

plans = st.dictionaries(st.text(max_size=8), st.lists(st.integers(0, 50), min_size=1, max_size=8), max_size=4)


@given(plans)
def test_a_plan_survives_json_and_pickle(indices):
    plan = Plan(indices)
    assert Plan.from_json(plan.to_json()) == plan == pickle.loads(pickle.dumps(plan))
    assert hash(Plan.from_json(plan.to_json())) == hash(plan)
    assert dict(plan) == {name: tuple(index) for name, index in indices.items()}


def test_plans_are_equal_by_value_whatever_they_are_made_of():
    plan = Plan({"a": [0, 1], "b": (2,)})
    assert plan == Plan({"b": np.array([2]), "a": range(2)}) and len({plan, Plan({"b": [2], "a": [0, 1]})}) == 1
    assert plan != Plan({"a": [1, 0], "b": [2]})
    assert Plan(plan) == plan and len(plan) == 2 and list(plan) == ["a", "b"]


def test_a_plan_does_not_change_with_what_it_was_made_of():
    index = [0, 1]
    plan = Plan({"a": index})
    index.append(2)
    assert plan["a"] == (0, 1)
    with pytest.raises(TypeError):
        plan["a"] = (0,)
    with pytest.raises(AttributeError):
        plan.more = 1


@pytest.mark.parametrize(
    ("indices", "error"),
    [
        ([("a", [0])], TypeError),
        (None, TypeError),
        ({1: [0]}, TypeError),
        ({"a": [0.0]}, TypeError),
        ({"a": [True, False]}, TypeError),
        ({"a": ["0"]}, TypeError),
        ({"a": []}, ValueError),
        ({"a": 3}, ValueError),
        ({"a": [[0]]}, ValueError),
        ({"a": [[0], [1, 2]]}, ValueError),
        ({"a": [0, -1]}, ValueError),
        ({"a": None}, ValueError),
    ],
)
def test_what_is_no_plan_is_refused(indices, error):
    with pytest.raises(error):
        Plan(indices)


def test_a_plan_that_does_not_fit_is_refused():
    groups = find_groups(build("chain"))
    for plan, message in (
        ({"other": [0]}, "it has conv_a, conv_b, out. Received: group='other'"),
        ({"conv_a": [0, 4]}, "units 0 to 3. Received: index=\\[0, 4\\]"),
        ({"out": [0, 1]}, "'out' cannot be edited"),
        ({"out": [0, 2, 1]}, "'out' cannot be edited"),
    ):
        with pytest.raises(ValueError, match=message):
            Plan(plan).check(groups)
    assert Plan({"out": [0, 1, 2], "conv_a": [3, 3]}).check(groups) is None


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_the_first_copy_is_the_unit_and_the_others_are_new(index):
    assert is_new_unit(index).tolist() == [unit in index[:place] for place, unit in enumerate(index)]
    assert copies_of_unit(index).tolist() == [index.count(unit) for unit in index]
