"""Several devices on TensorFlow: two logical processors under `MirroredStrategy`, against one."""

import json

import keras
import pytest

from tests.distribution import training
from tests.distribution.children import running

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a strategy of TensorFlow's")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What training on one device ends with, and what the child wrote that trained on two."""
    folder = tmp_path_factory.mktemp("mirrored")
    with running("tests.distribution.mirrored_child", [[folder / "out.json"]], folder) as wait:
        keras.utils.set_random_seed(0)
        model = training.network()
        single = training.result_of(model, training.train(model))
        wait()
    return single, json.loads((folder / "out.json").read_text())


def test_two_devices_end_as_one(runs):
    single, child = runs
    training.check_equal(single, child["result"])


def test_every_variable_is_on_both_devices_with_one_value(runs):
    _, child = runs
    assert len(child["replicas"]) == len(child["result"]["arrays"])
    assert all(devices == 2 and difference == 0 for devices, difference in child["replicas"])


def test_reordering_in_training_changes_nothing(runs):
    _, child = runs
    assert child["permuted"]["difference"] < 1e-5
    assert child["permuted"]["losses"][1] < child["permuted"]["losses"][0]


def test_a_copy_made_outside_the_strategy_predicts_the_same(runs):
    _, child = runs
    assert child["rebuilt"] < 1e-5


def test_a_strategy_for_several_machines_is_refused_with_the_way_out(runs):
    _, child = runs
    *alone, in_a_cluster = child["refused"]
    for message in (*alone, in_a_cluster):
        assert "keras-team/keras#20585" in message and "keras.distribution.DataParallel" in message
    assert all(message.endswith("Received: strategy=CollectiveAllReduceStrategy") for message in alone)
    assert in_a_cluster.endswith("Received: strategy=MultiWorkerMirroredStrategy on 2 machines")
