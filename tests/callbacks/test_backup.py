"""`BackupAndRestore`: a training that is interrupted and begun again goes on as if nothing had been."""

import collections
import os
import zipfile

import keras
import ml_dtypes
import numpy as np
import pytest
from keras import callbacks, layers, optimizers

from cgap_keras import BackupAndRestore, CGaP, Plateau, Pruning, Steps, apply, cost
from cgap_keras.callbacks.backup.file import BackupFile
from tests.callbacks.quick import QUICK, compiles_often
from tests.callbacks.test_cgap import data, free_widths, network
from tests.models import values_of


class Interrupt(callbacks.Callback):
    """Raises once; and writes down what it saw, like many a callback of users."""

    def __init__(self, epoch=None, batch=None):
        super().__init__()
        self.at, self.epoch, self.seen = (epoch, batch), 0, []

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.seen.append(("epoch", epoch))

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((self.epoch, batch))
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(sorted(logs))


def small(optimizer="adam", units=3, name="hidden", **options):
    """Two layers, one of which draws random numbers."""
    vector = keras.Input((4,), name="vector")
    x = layers.Dropout(0.3, name="dropout")(layers.Dense(units, activation="relu", name=name)(vector))
    model = keras.Model(vector, layers.Dense(1, name="out")(x))
    model.compile(optimizer, loss="mse", metrics=["mae"], **{**QUICK, **options})
    return model


def fit(model, *others, epochs=3, examples=20, **options):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(examples, 4)).astype("float32"), rng.normal(size=(examples, 1)).astype("float32")
    return model.fit(x, y, batch_size=4, epochs=epochs, verbose=0, callbacks=list(others), **options)


def everything(model):
    """All values of a model and its optimizer, by name."""
    variables = [*model.variables, *model.optimizer.variables]
    return [(v.name, value.tolist()) for v, value in zip(variables, values_of(variables), strict=True)]


def interrupted(run, *interrupt):
    with pytest.raises(KeyboardInterrupt):
        run(Interrupt(*interrupt))


def plateau():
    """What remembers between epochs: the best weights, how long to wait, the learning rate."""
    stop = callbacks.EarlyStopping("mae", patience=9, restore_best_weights=True)
    return stop, callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=1.0)


def train(watch, *backup):
    keras.utils.set_random_seed(1)
    model, (stop, slower) = small(), plateau()
    history = fit(model, *backup, watch, stop, slower)
    return everything(model), history.history, history.epoch, watch.seen, stop.best_epoch, slower.wait


@pytest.fixture(scope="module")
def uninterrupted():
    return train(Interrupt())


@pytest.mark.parametrize(
    ("at", "save_freq"),
    [
        pytest.param((1, 3), 2, id="in an epoch"),
        pytest.param((1, 0), "epoch", id="between epochs", marks=compiles_often),
        pytest.param((2, 4), 5, id="behind the last batch", marks=compiles_often),
        pytest.param((0, 0), 3, id="before the first backup", marks=compiles_often),
    ],
)
def test_ends_as_the_uninterrupted_training(tmp_path, uninterrupted, at, save_freq):
    backup = BackupAndRestore(tmp_path / "runs" / "backup", save_freq)
    interrupted(lambda watch: train(watch, backup), *at)
    assert os.listdir(tmp_path / "runs" / "backup") == ["training.backup"]
    assert train(Interrupt(), backup) == uninterrupted and os.listdir(tmp_path / "runs") == []


def test_goes_on_across_edits(tmp_path):
    def run(watch, *backup):
        keras.utils.set_random_seed(0)
        model, cgap, (x, y) = network(**QUICK), CGaP(250, 150, growth_rate=1.0, prune_steps=1, seed=0), data()
        model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[watch, *backup, cgap])
        edits = [edit.to_dict() | {"seconds": 0} for edit in cgap.history]
        return everything(model), edits, cgap.initial_widths, watch.seen, cost(model).params, cgap.finished

    interrupted(lambda watch: run(watch, BackupAndRestore(tmp_path, save_freq=2)), 1, 2)
    again = run(Interrupt(), BackupAndRestore(tmp_path, save_freq=2))
    assert again == run(Interrupt()) and [edit["kind"] for edit in again[1]] == ["grow", "prune"]


@compiles_often
@pytest.mark.parametrize(
    ("every", "at", "length"),
    [
        pytest.param(Steps(3), (0, 3), {"epochs": 2}, id="when an edit is due"),
        pytest.param(Plateau("loss", 1, min_delta=1e9), (3, 1), {"epochs": 5, "examples": 8}, id="on a plateau"),
    ],
)
def test_whenever_edits_come(tmp_path, every, at, length):
    def run(watch, *backup):
        keras.utils.set_random_seed(0)
        model, pruning = small(units=12), Pruning(30, steps=2, round_to=1, every=every)
        fit(model, watch, *backup, pruning, **length)
        edits = [edit.to_dict() | {"seconds": 0} for edit in pruning.history]
        return everything(model), edits, watch.seen, pruning.finished

    interrupted(lambda watch: run(watch, BackupAndRestore(tmp_path, save_freq=1)), *at)
    again = run(Interrupt(), BackupAndRestore(tmp_path, save_freq=1))
    assert again == run(Interrupt()) and len(again[1]) == 2


@compiles_often
def test_edits_of_the_users_own(tmp_path):
    def run(watch, *backup):
        keras.utils.set_random_seed(0)
        model = small(**QUICK)
        edit = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: apply(model, {"hidden": [0, 1, 2, epoch]}))
        fit(model, edit, watch, *backup)
        return everything(model), watch.seen

    interrupted(lambda watch: run(watch, BackupAndRestore(tmp_path, save_freq=1)), 1, 1)
    assert run(Interrupt(), BackupAndRestore(tmp_path)) == run(Interrupt())


@compiles_often
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch takes one step at a time")
def test_several_steps_at_a_time(tmp_path):
    def run(watch, *backup, steps=2):
        keras.utils.set_random_seed(0)
        model = small(steps_per_execution=steps)
        return fit(model, watch, *backup).history, everything(model)

    interrupted(lambda watch: run(watch, BackupAndRestore(tmp_path, save_freq=2)), 1, 3)
    with pytest.raises(ValueError, match="steps_per_execution=5"):
        run(Interrupt(), BackupAndRestore(tmp_path), steps=5)
    assert run(Interrupt(), BackupAndRestore(tmp_path)) == run(Interrupt())


def test_the_model_that_was_interrupted_goes_on(tmp_path):
    model, backup = small(), BackupAndRestore(tmp_path)
    interrupted(lambda watch: fit(model, watch, backup), 1, 2)
    assert fit(model, backup).epoch == [0, 1, 2]
    assert int(model.optimizer.iterations) == 15
    # Where the next training begins is not what the last one set.
    assert fit(model, epochs=1).epoch == [0] and int(model.optimizer.iterations) == 20


@compiles_often
def test_a_training_that_was_stopped_stays_stopped(tmp_path):
    def run():
        stop = callbacks.EarlyStopping("loss", patience=1, min_delta=100.0)
        return fit(small(), stop, BackupAndRestore(tmp_path, delete_checkpoint=False), epochs=9).epoch

    assert run() == run() == [0, 1]
    assert os.listdir(tmp_path) == ["training.backup"]


class Counting(callbacks.Callback):
    """Counts with an object of its own, which it tells and takes itself."""

    def on_train_begin(self, logs=None):
        self.count = iter(range(100))

    def on_epoch_end(self, epoch, logs=None):
        self.last = next(self.count)

    def get_state(self):
        return self.last if hasattr(self, "last") else None

    def set_state(self, state):
        self.count = iter(range(state + 1, 100))


@compiles_often
def test_callbacks_can_tell_their_state(tmp_path):
    counting = Counting()
    interrupted(lambda watch: fit(small(), BackupAndRestore(tmp_path), watch, counting), 2, 0)
    counting = Counting()
    fit(small(), BackupAndRestore(tmp_path), counting)
    assert counting.last == 2


def nothing_changes(tmp_path, message, model, *others, **options):
    with pytest.raises(ValueError, match=message) as raised:
        before = [value.tobytes() for value in values_of(model.variables)]
        fit(model, *others, BackupAndRestore(tmp_path), **options)
    assert before == [value.tobytes() for value in values_of(model.variables)]
    assert "Received: " in str(raised.value) and os.listdir(tmp_path) == ["training.backup"]


@compiles_often
def test_a_foreign_backup_is_refused(tmp_path):
    interrupted(lambda watch: fit(small(), BackupAndRestore(tmp_path, save_freq=4), watch), 1, 4)
    nothing_changes(tmp_path, "'hidden/kernel' of shape .4, 3.*Received.* of shape .4, 5", small(units=5))
    nothing_changes(tmp_path, "'hidden/kernel' of shape .4, 3.*Received.*missing", small(name="other"))
    nothing_changes(tmp_path, "another optimizer.*'Adam/", small(optimizers.RMSprop()))
    nothing_changes(tmp_path, "other settings", small(), CGaP(100, 20))
    with pytest.raises(ValueError, match="after 4 batches.*Received: 3 batches"):
        fit(small(), BackupAndRestore(tmp_path), examples=12)


@compiles_often
def test_another_policy_is_refused(tmp_path):
    interrupted(lambda watch: fit(small(), BackupAndRestore(tmp_path), CGaP(100, 20, seed=0), watch), 0, 1)
    nothing_changes(tmp_path, "other settings.*'seed': 0.*Received.*'seed': 1", small(), CGaP(100, 20, seed=1))
    nothing_changes(tmp_path, "other settings.*Received: {}", small())


@compiles_often
def test_a_model_at_another_structure_is_refused(tmp_path):
    model, cgap = small(), CGaP(100, 20, seed=0)
    interrupted(lambda watch: fit(model, BackupAndRestore(tmp_path), cgap, watch), 1, 1)
    assert free_widths(model) != cgap.initial_widths
    nothing_changes(tmp_path, "another model", model, cgap)


STATE = {
    "tuple": (1, -2.5, None, True, "é"),
    "nested": [{"a": {3, 4}, 5: ()}, float("inf")],
    "arrays": [np.arange(6, dtype="uint32").reshape(2, 3), np.zeros((0, 2)), np.array(3, ml_dtypes.bfloat16)],
    "number": np.float32(0.1),
    "operation": keras.ops.less,
}


def same(a, b):
    if isinstance(a, (np.ndarray, np.generic)):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(same, a.values(), b.values()))
    return type(a) is type(b) and a == b


def test_what_is_written_is_read(tmp_path):
    file = BackupFile(str(tmp_path / "a" / "b"))
    assert file.read() is None
    for state in (None, STATE):
        file.write(state)
        assert same(file.read(), state)
    for value in (range(3), np.array(["text"]), np.array([None]), collections.OrderedDict()):
        with pytest.raises(TypeError, match=f"Received: a value of type {type(value).__name__}"):
            file.write([value])
    assert same(file.read(), STATE)
    file.remove()
    assert os.listdir(tmp_path / "a") == [] and file.read() is None


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_last_backup(tmp_path, monkeypatch, name):
    file = BackupFile(str(tmp_path))
    file.write(STATE)

    def fail(*arguments):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with pytest.raises(OSError, match="no space"):
            file.write(None)
    assert same(file.read(), STATE)
    file.remove_parts()
    assert os.listdir(tmp_path) == ["training.backup"]


def test_a_torn_file_is_refused(tmp_path):
    file, state = BackupFile(str(tmp_path)), {"a": np.arange(3), "b": (1, "c")}
    file.write(state)
    with open(file.path, "rb") as stream:
        whole = stream.read()
    torn = [whole[:length] for length in range(len(whole))]
    flipped = [whole[:i] + bytes([whole[i] ^ 64]) + whole[i + 1 :] for i in range(len(whole))]
    refused = 0
    for content in [*torn, *flipped]:
        with open(file.path, "wb") as stream:
            stream.write(content)
        try:
            # A flipped bit in a time or an attribute of the archive changes nothing.
            assert same(file.read(), state)
        except ValueError as error:
            assert "Received: path=" in str(error)
            refused += 1
    assert refused > 1.7 * len(whole)


def test_a_file_of_another_format_is_refused(tmp_path):
    file = BackupFile(str(tmp_path))
    with zipfile.ZipFile(file.path, "w") as archive:
        archive.writestr("state.json", '{"format": "cgap_keras.BackupAndRestore, format 0"}')
    with pytest.raises(ValueError, match="another version.*format 0"):
        file.read()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "`directory`"),
        (("x", 0), "`save_freq`.*save_freq=0"),
        (("x", "batch"), "`save_freq`"),
        (("x", True), "`save_freq`"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BackupAndRestore(*arguments)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="elsewhere `fit` builds the model")
def test_a_model_that_is_not_built_is_refused(tmp_path):
    model = keras.Sequential([layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(ValueError, match="needs a model that is built.*not built"):
        fit(model, BackupAndRestore(tmp_path))


def test_a_loop_of_the_users_own_is_refused(tmp_path):
    with pytest.raises(ValueError, match="in `fit` alone"):
        BackupAndRestore(tmp_path).on_train_begin()
