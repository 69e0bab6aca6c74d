"""Several machines on JAX: two processes that talk over loopback, against one."""

import json
import socket

import keras
import pytest

from cgap_keras import CGaP, apply
from tests.distribution import training
from tests.distribution.children import running

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="only JAX trains on several machines")


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What training in one process ends with, and what each of the two wrote that trained together."""
    jaxlib = pytest.importorskip("jaxlib._jax")
    if not hasattr(jaxlib, "make_gloo_tcp_collectives"):
        pytest.skip("this build of jaxlib has no Gloo, by which processors of several processes talk")
    folder, address = tmp_path_factory.mktemp("processes"), free_address()
    outputs = [folder / f"{number}.json" for number in range(2)]
    children = [[address, 2, number, path] for number, path in enumerate(outputs)]
    with running("tests.distribution.process_child", children, folder) as wait:
        keras.utils.set_random_seed(0)
        model = training.network()
        single = training.result_of(model, training.train(model))
        wait()
    return single, [json.loads(path.read_text()) for path in outputs]


def test_two_processes_end_as_one(runs):
    single, children = runs
    for child in children:
        training.check_equal(single, child["result"])


def test_both_have_the_same_to_the_last_digit(runs):
    _, (first, second) = runs
    assert first["result"] == second["result"]


def test_what_the_first_process_decides_holds_for_both(runs):
    _, (first, second) = runs
    assert first["apart"] == second["apart"] and first["apart"]["agreed"] == "first"
    assert [edit["kind"] for edit in first["apart"]["edits"]] == ["grow"]
    assert first["speaks"] and not second["speaks"]


@pytest.fixture
def model_parallel():
    mesh = keras.distribution.DeviceMesh((1, 1), ("batch", "model"))
    layout_map = keras.distribution.LayoutMap(mesh)
    with keras.distribution.ModelParallel(layout_map=layout_map, batch_dim_name="batch").scope():
        yield


def test_variables_cut_into_parts_are_refused(model_parallel):
    model, (x, y, size) = training.network(), training.data()
    for call in (
        lambda: model.fit(x, y, batch_size=size, verbose=0, callbacks=[CGaP(160, 90)]),
        lambda: apply(model, {"hidden": [1, 0]}),
    ):
        with pytest.raises(ValueError, match="DataParallel.*distribution=ModelParallel"):
            call()
