"""The other callbacks of a training in which the model is edited."""

import csv

import keras
import numpy as np
import pytest
from keras import callbacks, optimizers

from cgap_keras import CGaP, apply
from tests.callbacks.shuffling import EditAt, data, fit, network
from tests.models import difference, facts_of_model, run_model, same_values, values_of

PLAN = {"first": [3, 0, 1], "second": [0, 1, 2, 3, 4, 4]}
# The best of all comes before an edit at the begin of epoch 2, the best since then in epoch 3.
SCORES = [1.0, 0.1, 5.0, 3.0, 4.0, 4.0]
ON_SCORE = {"monitor": "score", "mode": "min"}


class Score(callbacks.Callback):
    """Tells the callbacks behind it a score, and keeps what the model was like at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.weights, self.outputs, self.rates = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = SCORES[epoch]
        self.weights.append(values_of(self.model.weights))
        self.outputs.append(run_model(self.model, [data()[0]]))
        self.rates.append(float(self.model.optimizer.learning_rate))


class OwnPlateau(callbacks.ReduceLROnPlateau):
    """What it makes of training's begin is its own affair."""

    begins = 0

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.begins += 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training with an edit in the middle, beside callbacks of Keras that go on; they are looked at one by one."""
    directory = tmp_path_factory.mktemp("trained")
    siblings = {
        "score": Score(),
        "edit": EditAt(("epoch_begin", 2), plan=PLAN),
        "stopping": callbacks.EarlyStopping(**ON_SCORE, patience=2, restore_best_weights=True),
        "plateau": OwnPlateau(**ON_SCORE, patience=1, factor=0.5),
        "schedule": callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        "every": callbacks.ModelCheckpoint(directory / "{epoch}.keras"),
        "best": callbacks.ModelCheckpoint(directory / "best.keras", **ON_SCORE, save_best_only=True),
        "log": callbacks.CSVLogger(directory / "log.csv"),
        "nan": callbacks.TerminateOnNaN(),
    }
    model = network()
    fit(model, siblings.values(), epochs=10)
    assert model.get_layer("second").units == 6
    return model, siblings, directory


def test_early_stopping_restores_the_best_of_the_structure_that_is_there(trained):
    model, siblings, _ = trained
    stopping = siblings["stopping"]
    assert (stopping.best_epoch, stopping.stopped_epoch, stopping.best) == (3, 5, 3.0)
    assert same_values(values_of(model.weights), siblings["score"].weights[3])


def test_a_plateau_is_one_of_the_structure_that_is_there_and_a_schedule_goes_on(trained):
    _, siblings, _ = trained
    rates = np.array(siblings["score"].rates)
    assert np.allclose(rates / rates[0], 0.9 ** np.arange(6) * [1, 1, 1, 1, 1, 0.5])
    assert siblings["plateau"].begins == 1


def test_checkpoints_of_whole_models_load_and_predict_right(trained):
    _, siblings, directory = trained
    for name, epoch in (("1", 0), ("2", 1), ("3", 2), ("best", 3)):
        loaded = keras.models.load_model(directory / f"{name}.keras")
        assert difference(siblings["score"].outputs[epoch], run_model(loaded, [data()[0]])) < 1e-6


def test_a_log_goes_on(trained):
    with open(trained[2] / "log.csv") as file:
        assert [float(row["score"]) for row in csv.DictReader(file)] == SCORES


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorBoard writes through TensorFlow")
def test_tensorboard_goes_on(tmp_path):
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq=1, write_steps_per_second=True)
    fit(network(run_eagerly=False), [EditAt(("batch_end", 0), ("epoch_begin", 1), plan={"first": [0, 0, 1]}), board], 2)
    assert list(tmp_path.rglob("events*"))


class OwnCheckpoint(callbacks.ModelCheckpoint):
    pass


REFUSED = {
    "weights": (lambda x: callbacks.ModelCheckpoint(f"{x}/a.weights.h5", save_weights_only=True), "Save whole models"),
    "subclass": (lambda x: OwnCheckpoint(f"{x}/a.weights.h5", save_weights_only=True), "OwnCheckpoint cannot"),
    "backup": (callbacks.BackupAndRestore, "Use cgap_keras.BackupAndRestore"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
def test_what_would_fit_no_model_is_refused_when_training_begins(kind, first, tmp_path):
    make, reason = REFUSED[kind]
    model, others = network(), [make(str(tmp_path)), CGaP(200, 50)]
    before = values_of(model.variables)
    with pytest.raises(ValueError, match=f"{reason}.*Received: callbacks="):
        fit(model, others if first else others[::-1])
    assert same_values(before, values_of(model.variables)) and list(tmp_path.iterdir()) == []


def test_two_callbacks_that_edit_are_refused():
    with pytest.raises(ValueError, match=r"Only one callback.*Received: callbacks=\['CGaP', 'CGaP'\]"):
        fit(network(), [CGaP(200, 50), CGaP(200, 50)])


class Refused(EditAt):
    """Edits, expects that it is refused, and goes on."""

    others = ()

    def edit(self, plan):
        known = self.facts()
        with pytest.raises(ValueError, match="cannot"):
            super().edit(plan)
        assert self.facts() == known

    def facts(self):
        return facts_of_model(self.model, [data()[0]]), [vars(callback).copy() for callback in self.others]


def test_what_would_fit_no_model_refuses_an_edit_that_nobody_announced(tmp_path):
    refused = Refused(("batch_end", 5), plan=PLAN)
    told = fit(network(), [refused, callbacks.BackupAndRestore(tmp_path / "backup")])
    assert len(refused.plans) == 1 and difference(fit(network()), told) < 1e-6


class Stubborn(callbacks.Callback):
    """Takes part in no edit."""

    def follow_edit(self, report, transaction):
        raise ValueError("It cannot be done.")


def test_an_edit_that_one_callback_cannot_follow_is_taken_back_in_all():
    """In the model as well as in the callbacks that have followed it by then."""
    refused = Refused(("batch_end", 5), plan=PLAN)
    refused.others = [callbacks.EarlyStopping("loss"), callbacks.ReduceLROnPlateau("loss"), CGaP(200, 50, every=9)]
    fit(network(), [*refused.others, refused, Stubborn()])
    assert len(refused.plans) == 1


class Swaps(callbacks.SwapEMAWeights):
    """Keeps how different the averages in the model are from the weights."""

    apart = 0.0

    def _swap_variables(self):
        before = run_model(self.model, [data()[0]])
        super()._swap_variables()
        self.apart = max(self.apart, difference(before, run_model(self.model, [data()[0]])))


MOMENTS = {"batch_end": ("batch_end", 5), "epoch_begin": ("epoch_begin", 2), "epoch_end": ("epoch_end", 1)}


@pytest.mark.parametrize("on_epoch", [False, True], ids=["for_tests", "for_epochs"])
def test_weights_and_averages_may_be_swapped_when_an_edit_comes(on_epoch):
    """Wherever the edit stands in the list, and whichever of the two is in the model then."""

    def told(*edits):
        model = network(optimizers.SGD(0.2, momentum=0.9, use_ema=True, ema_momentum=0.7))
        swaps, (before, behind) = Swaps(on_epoch), edits or ((), ())
        logs = fit(model, [*before, swaps, *behind], validation_data=data())
        assert swaps.apart > 0.01
        return [*logs, *run_model(model, [data()[0]])]

    before, behind = (EditAt(*MOMENTS.values()) for _ in range(2))
    assert difference(told(), told([before], [behind])) < 1e-3
    assert len(before.plans) == len(behind.plans) == 3


@pytest.mark.parametrize(("new_units", "noisy", "axis"), [("zero", "first", 1), ("split", "second", 0)])
def test_new_units_differ_from_their_parents_in_weights_and_in_averages(new_units, noisy, axis):
    """Whichever of the two is in the model when an edit makes them."""
    optimizer = optimizers.SGD(0.2, use_ema=True, ema_momentum=0.7)
    model = network(optimizer)
    fit(model, epochs=1)
    apply(model, {"first": [0, 1, 2, 3, 3]}, new_units=new_units, noise=0.1, seed=0)
    kernel = model.get_layer(noisy).kernel
    (place,) = (i for i, variable in enumerate(model.trainable_variables) if variable is kernel)
    average = optimizer._model_variables_moving_average[place]
    for value in values_of([kernel, average]):
        first, second = np.moveaxis(value, axis, 0)[3:]
        assert np.linalg.norm(first - second) > 0.01


def test_an_edit_of_the_user_s_own_counts_in_what_cgap_knows():
    """A reordering in the middle of an epoch moves the saliency gathered so far, and stands in the history."""
    histories, reorder = [], EditAt(("batch_end", 1))
    for others in ([], [reorder]):
        cgap = CGaP(200, 50, criterion="taylor", seed=0)
        fit(network(), [cgap, *others], epochs=2)
        histories.append(cgap.history)
    (expected,), (own, edit), (plan,) = *histories, reorder.plans
    assert (own.kind, own.epoch, own.step, own.plan) == ("edit", 0, 2, plan)
    assert edit.units_after == expected.units_after and edit.params_before == own.params_after
    for name, scores in expected.scores.items():
        assert np.allclose(np.array(scores)[plan[name]], edit.scores[name], rtol=1e-4)
