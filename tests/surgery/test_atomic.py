"""All or nothing: an edit that fails leaves everything as it was."""

import importlib

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from cgap_keras import Plan, apply, find_groups, rebuild
from cgap_keras.structure.registry import rule
from cgap_keras.surgery import live, values
from tests.graphs import MODELS, Keep
from tests.models import build, difference, facts_of_model, random_inputs, randomize

# The package's name for it is the function.
apply_module = importlib.import_module("cgap_keras.surgery.apply")

PLAN = {"outer": [3, 2, 1, 0, 0], "block/inner_a": [0, 2]}


class Failure(Exception):
    pass


def fail_at(monkeypatch, owner, name, call, before):
    """Makes the `call`-th call of a function raise, before or after it has done its work."""
    original, count = getattr(owner, name), iter(range(10**6))

    def failing(*args, **kwargs):
        now = next(count) == call
        if now and before:
            raise Failure(name)
        result = original(*args, **kwargs)
        if now:
            raise Failure(name)
        return result

    monkeypatch.setattr(owner, name, failing)


@pytest.fixture(scope="module")
def trained():
    """A model after one step of training, with inputs and targets."""
    keras.utils.set_random_seed(0)
    model = MODELS["nested_functional"][0](Keep())
    randomize(model)
    model.compile(optimizers.Adam(0.01, amsgrad=True), loss="mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 5, 6, 2)).astype("float32"), rng.normal(size=(4, 3)).astype("float32")
    model.fit(x, y, verbose=0)
    model.predict(x, verbose=0)
    return model, x, y


STEPS = [
    *[(live, "resize_variable", call, before) for call in (0, 1, 5, 20) for before in (True, False)],
    *[(live, "update_layer", call, before) for call in (0, 2) for before in (True, False)],
    *[(live, "update_tensor", call, before) for call in (0, 5) for before in (True, False)],
    (live, "update_input", 0, False),
    (live, "update_optimizer_keys", 0, True),
    (live, "update_optimizer_keys", 0, False),
    (live, "update_torch_parameters", 0, True),
    (live, "update_torch_parameters", 0, False),
    (keras.Variable, "_initialize", 3, True),
    (keras.Variable, "_initialize", 3, False),
    (apply_module, "draft_model", 0, True),
    (apply_module, "draft_model", 0, False),
    (apply_module, "find_slots", 0, False),
    (values, "edit_slot", 2, False),
]


@pytest.mark.parametrize(("owner", "name", "call", "before"), STEPS, ids=lambda x: str(getattr(x, "__name__", x)))
def test_a_failure_anywhere_takes_everything_back(trained, monkeypatch, owner, name, call, before):
    model, x, y = trained
    known = facts_of_model(model, [x])
    with monkeypatch.context() as patch:
        fail_at(patch, owner, name, call, before)
        with pytest.raises(Failure):
            apply(model, PLAN)
    assert facts_of_model(model, [x]) == known
    iterations = int(model.optimizer.iterations)
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"][0])
    assert int(model.optimizer.iterations) == iterations + 1


def test_the_edit_itself_works_on_that_model(trained):
    model, x, y = trained
    copy = rebuild(model, PLAN)
    assert {g.name: g.size for g in find_groups(copy)} == {"outer": 5, "block/inner_a": 2, "out": 3}
    assert difference([model.predict(x, verbose=0)], [copy.predict(x, verbose=0)]) > 1e-4


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        ({"unknown": [0]}, ValueError),
        ({"out": [0, 1]}, ValueError),
        ({"outer": [0, 4]}, ValueError),
        ({"outer": []}, ValueError),
        ({"outer": [0, -1]}, ValueError),
        ({"outer": [0.0, 1.0]}, TypeError),
        ({"outer": "01"}, ValueError),
        ({"outer": [0], "block/inner_a": [7]}, ValueError),
        ([0, 1], TypeError),
        (None, TypeError),
    ],
)
def test_a_bad_plan_is_refused_before_anything_changes(trained, plan, error):
    model, x, _ = trained
    known = facts_of_model(model, [x])
    with pytest.raises(error, match="Received: "):
        apply(model, plan)
    with pytest.raises(error, match="Received: "):
        rebuild(model, plan)
    assert facts_of_model(model, [x]) == known


@pytest.mark.parametrize("options", [{"new_units": "copy"}, {"new_units": None}, {"noise": -0.1}])
def test_a_bad_option_is_refused_before_anything_changes(trained, options):
    model, x, _ = trained
    known = facts_of_model(model, [x])
    with pytest.raises(ValueError, match=f"`{next(iter(options))}`.*Received: "):
        apply(model, Plan(PLAN), **options)
    assert facts_of_model(model, [x]) == known


class Summing(optimizers.SGD):
    """Keeps state of shapes of its own, and cannot be made anew from its configuration."""

    def __init__(self, rate, secret):
        super().__init__(rate)

    def build(self, variables):
        super().build(variables)
        self.sums = [self.add_variable((7,), name="sum") for _ in variables]


def test_an_optimizer_whose_state_cannot_begin_anew_is_refused():
    model = build("sequential")
    model.compile(Summing(0.01, "secret"), loss="mse", run_eagerly=True)
    x, y = random_inputs(model, batch=4)[0], np.ones((4, 3), "float32")
    model.train_on_batch(x, y)
    known = facts_of_model(model, [x])
    with pytest.raises(ValueError, match="no Summing can be made from its configuration"):
        apply(model, {"hidden": [0]})
    assert facts_of_model(model, [x]) == known
    model.train_on_batch(x, y)
    assert int(model.optimizer.iterations) == 2
    assert rebuild(model, {"hidden": [0]}).get_layer("hidden").units == 1


class Scale(layers.Layer):
    """Four factors, whatever comes in; its rule says that there is one a channel."""

    def build(self, shape):
        self.factors = self.add_weight(shape=(4,), initializer="ones", name="factors")

    def call(self, inputs):
        return inputs * keras.ops.sum(self.factors)


@rule(Scale)
def scale(call, labels, tracer):
    tracer.carry(call, call.operation.factors, 0, labels[0].ravel())
    return [labels[0]]


def test_a_rule_that_is_wrong_is_found_out():
    vector = keras.Input((3,))
    x = Scale(name="scale")(layers.Dense(4, name="hidden")(vector))
    model = keras.Model(vector, layers.Dense(2)(x))
    inputs = [np.ones((2, 3), "float32")]
    known = facts_of_model(model, inputs)
    with pytest.raises(ValueError, match="rule of Scale is wrong.*`scale/factors`"):
        apply(model, {"hidden": [0, 1, 2, 3, 3]})
    assert facts_of_model(model, inputs) == known


def test_a_failed_edit_in_the_middle_of_training_does_not_show(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 5, 6, 2)).astype("float32"), rng.normal(size=(12, 3)).astype("float32")
    losses = []
    for failing in (False, True):
        model = build("nested_functional")
        model.compile(optimizers.Adam(0.01), loss="mse", run_eagerly=keras.backend.backend() != "jax")
        failures = []

        def on_batch_end(batch, logs, model=model, failing=failing, failures=failures):
            if failing and batch == 1:
                with monkeypatch.context() as patch, pytest.raises(Failure):
                    fail_at(patch, live, "update_layer", 1, False)
                    apply(model, PLAN)
                failures.append(batch)

        callback = keras.callbacks.LambdaCallback(on_train_batch_end=on_batch_end)
        losses.append(
            model.fit(x, y, batch_size=2, shuffle=False, epochs=2, verbose=0, callbacks=[callback]).history["loss"]
        )
        assert len(failures) == 2 * failing
    assert np.allclose(*losses, rtol=1e-6)
