"""An edit that breaks off at any point on its way leaves everything as it was."""

import inspect
import os
import pathlib
import sys

import keras
import numpy as np
import pytest
from keras import callbacks, layers, optimizers

import cgap_keras
from cgap_keras import CGaP, apply
from cgap_keras.surgery import live
from cgap_keras.surgery.transaction import Transaction
from tests.models import config_of, difference, facts_of_layers, facts_of_model, randomize, values_of

PLAN = {"first": [3, 2, 1, 0, 0], "second": [0, 2]}
PACKAGE = str(pathlib.Path(cgap_keras.__file__).parent)
# At how many points of an edit to raise. All of them, some 1,500, take minutes.
COUNT = int(os.environ.get("FAULT_COUNT", "30"))
# Where a transaction ends the edit is carried out, or is being taken back.
BEHIND = {apply.__code__, inspect.unwrap(apply).__code__, Transaction.__exit__.__code__}


class Failure(Exception):
    pass


class Faults:
    """Notes the calls and returns of the library's functions, and of what gives a variable its value.

    Args:
        at: At which of them to raise, or `None`.
    """

    def __init__(self, at=None):
        self.at, self.points = at, []

    def __enter__(self):
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *error):
        sys.setprofile(None)

    def _profile(self, frame, event, arg):
        code = frame.f_code
        is_noted = code.co_filename.startswith(PACKAGE) or code is keras.Variable._initialize.__code__
        # A generator is called once more when it is thrown away, where nobody hears of an exception.
        is_left_out = code in BEHIND or code.co_flags & inspect.CO_GENERATOR
        if event in ("call", "return") and is_noted and not is_left_out:
            self.points.append((code, event))
            if len(self.points) - 1 == self.at:
                raise Failure(f"{event} of {code.co_name}")


class Edit(callbacks.Callback):
    """Edits at the end of an epoch, with a fault on the way if there is to be one."""

    at = None

    def on_epoch_end(self, epoch, logs=None):
        with Faults(self.at) as self.faults:
            apply(self.model, PLAN)


def network():
    vector = keras.Input((6,), name="vector")
    x = layers.Dense(4, activation="tanh", name="first")(vector)
    x = layers.Dense(3, activation="tanh", name="second")(layers.BatchNormalization(name="norm")(x))
    model = keras.Model(vector, layers.Dense(2, name="out")(x))
    randomize(model)
    model.compile(optimizers.Adam(0.01), loss="mse", run_eagerly=keras.backend.backend() != "jax")
    return model


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 6)).astype("float32"), rng.normal(size=(4, 2)).astype("float32")


def training():
    """A model in the middle of its training: the list of its callbacks, the one that edits first."""
    model = network()
    others = [Edit(), callbacks.EarlyStopping("loss"), callbacks.ReduceLROnPlateau("loss"), CGaP(200, 50)]
    calling = callbacks.CallbackList(others, model=model, verbose=0)
    calling.on_train_begin()
    model.train_on_batch(*data())
    for callback in others[1:]:
        callback.on_epoch_end(0, {"loss": 1.0})
    return calling


def edited(calling):
    calling.on_epoch_end(1, {"loss": 2.0})
    return calling


def facts(calling):
    """What can be told in little time; the test looks at the rest in the end."""
    model = calling.model
    variables = [*model.variables, *model.optimizer.variables]
    return {
        "values": [(id(v), v.shape, x.tobytes()) for v, x in zip(variables, values_of(variables), strict=True)],
        "model": (type(model), model.train_function, config_of(model), facts_of_layers(model)),
        "optimizer": vars(model.optimizer).copy(),
        "callbacks": [vars(callback).copy() for callback in calling.callbacks[1:]],
    }


def places(points):
    """Some of the points: of those before the first change one of each kind counts, of those behind it every one."""
    first = next(i for i, (code, _) in enumerate(points) if code is live.pull_state.__code__)
    found = sorted({*{point: i for i, point in enumerate(points[:first])}.values(), *range(first, len(points))})
    return [found[-1], *np.random.default_rng(0).permutation(found)[:COUNT].tolist()]


@pytest.mark.usefixtures("quick_weights")
def test_a_fault_at_any_point_takes_everything_back():
    # The first edit of a process also fills tables, which later ones find filled.
    _, unharmed, calling = edited(training()), edited(training()), training()
    edit, known, whole = calling.callbacks[0], facts(calling), facts_of_model(calling.model, [data()[0]])
    for edit.at in places(unharmed.callbacks[0].faults.points):
        with pytest.raises(Failure):
            edited(calling)
        assert facts(calling) == known
    assert facts_of_model(calling.model, [data()[0]]) == whole
    edit.at = None
    models = unharmed.model, edited(calling).model
    results = [[np.array(model.train_on_batch(*data())), *values_of(model.variables)] for model in models]
    assert models[1].get_layer("first").units == 5 and difference(*results) < 1e-6


@pytest.mark.usefixtures("quick_weights")
def test_training_can_be_taken_up_again_after_an_edit_that_failed(monkeypatch):
    def fail(*args):
        raise Failure("in the middle of the commit")

    options = {"epochs": 2, "verbose": 0}
    model, cgap, alone = network(), CGaP(200, 50, seed=0), network()
    expected = alone.fit(*data(), **options).history["loss"]
    with monkeypatch.context() as patch, pytest.raises(Failure):
        patch.setattr(live, "update_tensor", fail)
        model.fit(*data(), callbacks=[cgap], **options)
    assert cgap.history == [] and len(model.optimizer.variables) == len(alone.optimizer.variables)
    losses = model.fit(*data(), callbacks=[cgap], **options).history["loss"]
    assert np.isclose(losses[0], expected[1], rtol=1e-5) and [edit.kind for edit in cgap.history] == ["grow"]
