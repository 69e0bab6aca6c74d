import json

import numpy as np
import pytest

from cgap_keras.report import Edit
from cgap_keras.report.history import as_edits, edit_times, widths_over_time


def make_edit(**changes):
    values = {
        "epoch": 4,
        "step": 1876,
        "kind": "grow",
        "units_before": 3,
        "units_after": 4,
        "params_before": 10482,
        "params_after": 15230,
        "macs_before": 91000,
        "macs_after": 130500,
        "widths": {"dense": 4},
        "plan": {"dense": [0, 1, 2, 1]},
    }
    return Edit(**{**values, **changes})


def test_describe_says_what_training_prints():
    edit = make_edit(units_before=96, units_after=120)
    assert edit.describe() == "epoch 4 · grow · units 96 -> 120 · parameters 10,482 -> 15,230"


def test_json_gives_the_same_edit_back(edits):
    for edit in edits:
        assert Edit.from_dict(json.loads(json.dumps(edit.to_dict()))) == edit


def test_numpy_values_become_plain_ones():
    edit = make_edit(
        epoch=np.int64(4),
        widths={"dense": np.int32(4)},
        plan={"dense": np.array([0, 1, 2, 1])},
        scores={"dense": np.array([0.5, 2.0, 1.0], dtype="float32")},
        seconds=np.float32(0.25),
    )
    assert edit == make_edit(scores={"dense": [0.5, 2.0, 1.0]}, seconds=0.25)
    assert json.loads(json.dumps(edit.to_dict()))["scores"] == {"dense": [0.5, 2.0, 1.0]}


def test_an_edit_does_not_change_with_what_it_was_made_of():
    plan = {"dense": [0, 1, 2, 1]}
    edit = make_edit(plan=plan)
    plan["dense"].append(7)
    edit.to_dict()["plan"]["dense"].append(7)
    assert edit.plan == {"dense": [0, 1, 2, 1]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 1.5}, r"`epoch` must be a whole number. Received: epoch=1.5"),
        ({"params_after": -1}, r"`params_after` must not be negative. Received: params_after=-1"),
        ({"kind": ""}, r"`kind` must be a word .* Received: kind=''"),
        ({"plan": [0, 1]}, r"`plan` must be a dict .* Received: plan=\[0, 1\]"),
        ({"widths": {"dense": 5}}, r"makes 4 units. Received: widths\['dense'\]=5"),
    ],
)
def test_wrong_fields_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        make_edit(**changes)


def test_from_dict_names_missing_and_unknown_keys():
    values = make_edit().to_dict()
    values["colour"] = values.pop("kind")
    with pytest.raises(ValueError, match=r"missing: \['kind'\], unknown: \['colour'\]"):
        Edit.from_dict(values)


def test_scores_and_seconds_may_be_missing():
    values = make_edit().to_dict()
    del values["scores"], values["seconds"]
    assert Edit.from_dict(values) == make_edit(scores={}, seconds=0.0)


def test_as_edits_takes_edits_and_dicts(edits):
    mixed = [edits[0], *(edit.to_dict() for edit in edits[1:])]
    assert as_edits(mixed) == tuple(edits)


def test_edits_of_one_epoch_are_spread_over_the_next():
    edits = [make_edit(epoch=epoch) for epoch in (0, 2, 3, 3, 3, 3, 5)]
    assert edit_times(edits) == [0.0, 2.0, 3.0, 3.25, 3.5, 3.75, 5.0]


def test_widths_over_time_carries_groups_that_an_edit_leaves_out():
    edits = [make_edit(), make_edit(widths={}, plan={"conv": [0]}), make_edit(widths={"conv": 3}, plan={})]
    assert widths_over_time(edits, {"conv": 2, "dense": 3}) == {"conv": [2, 2, 1, 3], "dense": [3, 4, 4, 4]}


def test_widths_over_time_refuses_an_unknown_group():
    with pytest.raises(ValueError, match=r"Received: initial_widths without \['dense'\]"):
        widths_over_time([make_edit()], {"conv": 2})
