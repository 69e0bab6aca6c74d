"""When edits come: by epochs, by batches, on a plateau."""

import keras
import numpy as np
import pytest
from keras import callbacks

from cgap_keras import (
    BackupAndRestore,
    CGaP,
    GrowthPolicy,
    Plateau,
    Pruning,
    PruningPolicy,
    Steps,
    StructureCallback,
    apply,
    cost,
    reestimate_statistics,
)
from cgap_keras.callbacks.triggers import Epochs, as_trigger
from tests.callbacks.quick import compiles_often
from tests.callbacks.shuffling import BATCH, BATCHES, data, fit, network
from tests.models import difference, run_model, values_of

EPOCHS = 2


class ByHand(callbacks.Callback):
    """Edits of the user's own, after so many batches of training."""

    def __init__(self, plans):
        super().__init__()
        self.plans, self.batches = plans, 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        if self.batches in self.plans:
            apply(self.model, self.plans[self.batches])


def in_steps(every, steps=2):
    """Two prunings of a network of 69 parameters; nothing about them is drawn at random."""
    return StructureCallback([PruningPolicy(40, steps, round_to=1)], every=every)


def end_of(edits, **options):
    """What a training ends with: what it said, predictions, optimizer state."""
    model = network(**options)
    told = fit(model, [edits], EPOCHS)
    assert int(model.optimizer.iterations) == EPOCHS * BATCHES
    # The moving averages know whether the callback has made the edit.
    reestimate_statistics(model, data()[0])
    # What was said after each batch comes as often as the training function is called.
    return [*told, *run_model(model, [data()[0]]), *values_of(model.optimizer.variables)]


@pytest.mark.parametrize(
    ("every", "at", "options"),
    [
        pytest.param(3, 3, {}, id="one step at a time"),
        pytest.param(
            2,
            2,
            {"steps_per_execution": 2},
            id="two steps at a time",
            marks=pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch takes one at a time"),
        ),
    ],
)
def test_an_edit_within_an_epoch_is_the_one_made_by_hand_there(every, at, options):
    edits = in_steps(Steps(every), steps=1)
    told = end_of(edits, **options)
    (edit,) = edits.history
    assert edits.finished and (edit.epoch, edit.step) == (0, at)
    expected = end_of(ByHand({at // options.get("steps_per_execution", 1): edit.plan}), **options)
    assert difference(expected, told) < 1e-5


@compiles_often
def test_batches_are_counted_from_edit_to_edit():
    """Across epochs, and at the end of the last one nothing is edited that would not be trained."""
    edits = in_steps(Steps(BATCHES + 1), steps=9)
    fit(network(), [edits], 3)
    assert [(e.epoch, e.step) for e in edits.history] == [(1, 5), (2, 10)]
    edits = in_steps(Steps(EPOCHS * BATCHES))
    fit(network(), [edits], EPOCHS)
    assert edits.history == []


@compiles_often
def test_a_line_within_an_epoch_begins_behind_the_progress_bar(capsys):
    edits = in_steps(Steps(3))
    fit(network(), [edits], 2, verbose=1)
    lines = [line for line in capsys.readouterr().out.splitlines() if "prune" in line]
    assert lines == [edit.describe() for edit in edits.history] and len(lines) == 2


def test_batches_are_told_later_unless_they_are_counted():
    assert in_steps(1).async_safe and in_steps(Plateau()).async_safe and not in_steps(Steps(1)).async_safe


def fit_a_batch(model, callbacks, epochs=1, **options):
    """Training of one batch an epoch."""
    x, y = (array[:BATCH] for array in data())
    model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=callbacks, verbose=0, **options)


class Score(callbacks.Callback):
    """Tells the callbacks behind it a score, and keeps how large the model was in each epoch."""

    def __init__(self, scores):
        super().__init__()
        self.scores, self.sizes = scores, []

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = self.scores[epoch]
        self.sizes.append(cost(self.model).params)


@compiles_often
def test_a_plateau_begins_anew_after_each_edit():
    # Better, better, two that are not; then worse than all before, but better than each other; two that are not.
    score = Score([3.0, 2.0, 2.0, 2.5, 9.0, 8.0, 8.0, 8.5, 1.0])
    edits = in_steps(Plateau("score", patience=2, mode="min"))
    fit_a_batch(network(), [score, edits], epochs=9)
    assert [edit.epoch for edit in edits.history] == [4, 8] and edits.finished
    assert len(set(score.sizes[:4])) == len(set(score.sizes[4:8])) == 1 and len(set(score.sizes)) == 3


@compiles_often
def test_a_plateau_of_a_validation():
    """Nothing gets better by so much, so that a plateau lasts as long as the patience."""
    model = network(metrics=["mae"])
    edits = in_steps(Plateau("val_mae", patience=1, min_delta=1e9))
    fit_a_batch(model, [edits], epochs=5, validation_data=[x[:1] for x in data()])
    assert [edit.epoch for edit in edits.history] == [2, 4]


@pytest.fixture(scope="module")
def evaluated():
    """A model with its metrics, which Keras makes when it sees data."""
    model = network(metrics=["mae", "accuracy"])
    model.evaluate(*(x[:1] for x in data()), verbose=0)
    return model


def seen_by(model, trigger, values, monitor="loss"):
    """When edits come, for a value an epoch."""
    seen, due = trigger.begin(), []
    for epoch, value in enumerate(values):
        seen = trigger.after_batches(trigger.after_epoch(seen, model, {monitor: value}), BATCH)
        if trigger.is_due(seen):
            due.append(epoch)
            seen = trigger.begin()
    return due


def test_what_a_plateau_is(evaluated):
    falling, rising = [4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]
    assert seen_by(evaluated, Plateau("loss", 1), falling) == [] and seen_by(evaluated, Plateau("loss", 1), rising) == [
        1,
        3,
    ]
    assert seen_by(evaluated, Plateau("loss", 3), rising) == [3]
    # Of accuracy more is better, and Keras knows; of anything else one may say so.
    assert seen_by(evaluated, Plateau("val_accuracy", 1), rising, "val_accuracy") == []
    assert seen_by(evaluated, Plateau("own", 1, mode="max"), rising, "own") == []
    with pytest.raises(ValueError, match="mode='max'"):
        seen_by(evaluated, Plateau("own", 1), rising, "own")
    # A difference that is exactly as large as asked for is none.
    assert seen_by(evaluated, Plateau("loss", 1, min_delta=1.0), falling) == [1, 3]
    assert seen_by(evaluated, Plateau("loss", 1, min_delta=0.5), falling) == []
    assert seen_by(evaluated, Epochs(2), falling) == [1, 3]


@compiles_often
def test_a_monitor_that_nobody_tells_is_refused_at_the_end_of_the_first_epoch():
    model, edits = network(metrics=["mae"]), in_steps(Plateau())
    with pytest.raises(ValueError, match="They have loss, mae. Received: monitor='val_loss'"):
        fit_a_batch(model, [edits])
    assert edits.history == [] and int(model.optimizer.iterations) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pruning(9, every=0), "`every`.*every=0"),
        (lambda: Pruning(9, every=1.5), "`every`.*every=1.5"),
        (lambda: Pruning(9, every="epoch"), "Steps` or `cgap_keras.Plateau.*every='epoch'"),
        (lambda: Pruning(9, every=(1, 1)), r"as many as there are phases, 1. Received: every=\(1, 1\)"),
        (lambda: CGaP(9, 5, every=(1, 0)), "`every`.*every=0"),
        (lambda: CGaP(9, 5, every=(1, "epoch")), "Steps` or `cgap_keras.Plateau.*every='epoch'"),
        (lambda: Steps(0), "`batches`.*batches=0"),
        (lambda: Plateau(patience=0), "`patience`.*patience=0"),
        (lambda: Plateau(min_delta=-1), "`min_delta`.*min_delta=-1"),
        (lambda: Plateau(mode="up"), "`mode`.*mode='up'"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_number_is_one_of_epochs():
    assert as_trigger(np.int64(3)) == Epochs(3) and as_trigger(Steps(3)) == Steps(3)


@compiles_often
def test_what_comes_before_the_wait_is_over_says_nothing():
    """The first edit follows after `wait` and as many batches as lie between edits; saliency is of these alone."""
    edits = StructureCallback([PruningPolicy(40, 2, round_to=1)], every=Steps(2, wait=3), seed=0)
    model = network()
    carried = []
    watch = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: carried.append(len(edits.carried_variables))
    )
    fit(model, [edits, watch], 2)
    assert [edit.step for edit in edits.history] == [5, 7]
    # Nothing is gathered in the first three batches, nor when the network is done.
    assert [count > 0 for count in carried] == [False] * 3 + [True] * 4 + [False] * (2 * BATCHES - 7)


def in_two_phases(every, capacity=90):
    """A growth that comes to its end with the first edit, and two prunings."""
    return StructureCallback([GrowthPolicy(capacity), PruningPolicy(40, 2, round_to=1)], every=every, seed=0)


@compiles_often
@pytest.mark.parametrize(
    ("every", "steps"),
    [
        pytest.param(Steps(2, wait=1), [3, 5, 7], id="one for both"),
        pytest.param((Steps(2, wait=1), Steps(3, wait=4)), [3, 10, 13], id="one each"),
        pytest.param((Steps(3), Steps(3)), [3, 6, 9], id="two that are alike"),
        pytest.param((Steps(2), 1), [2, 4, 8], id="batches, then epochs"),
        pytest.param([2, Steps(3)], [8, 11, 14], id="epochs, then batches"),
    ],
)
def test_each_phase_may_have_its_own_trigger_that_begins_with_it(every, steps):
    edits = in_two_phases(every)
    fit(network(), [edits], 4)
    assert [edit.step for edit in edits.history] == steps and edits.finished
    assert [edit.kind for edit in edits.history] == ["grow", "prune", "prune"]


@compiles_often
def test_a_phase_without_anything_to_do_lets_the_next_begin_when_it_was_due():
    edits = in_two_phases((1, Steps(2)), capacity=60)
    fit(network(), [edits], 3)
    assert [(edit.kind, edit.step) for edit in edits.history] == [("prune", BATCHES + 2), ("prune", BATCHES + 4)]


@compiles_often
def test_nothing_is_gathered_while_a_phase_waits():
    edits, carried = in_two_phases((Steps(2), Steps(2, wait=3))), []
    told = {"on_train_batch_end": lambda batch, logs: carried.append(bool(edits.carried_variables))}
    fit(network(), [edits, callbacks.LambdaCallback(**told)], 3)
    assert [edit.step for edit in edits.history] == [2, 7, 9]
    assert carried == [True] * 2 + [False] * 3 + [True] * 4 + [False] * 3


@compiles_often
def test_a_training_goes_on_in_the_wait_of_a_phase(tmp_path):
    every, results = (Steps(2), Steps(2, wait=3)), []
    for epochs in ((3,), (1, 3)):
        backup = [] if epochs == (3,) else [BackupAndRestore(tmp_path, delete_checkpoint=False)]
        for last in epochs:
            model, edits = network(), in_two_phases(every)
            fit(model, [edits, *backup], last)
        results.append([edit.step for edit in edits.history])
    assert results[0] == results[1] == [2, 7, 9]


def test_batches_are_counted_if_any_phase_counts_them():
    assert in_two_phases((1, Plateau())).async_safe and not in_two_phases((1, Steps(1))).async_safe


@compiles_often
def test_a_plateau_begins_anew_when_somebody_else_edits():
    trigger = Plateau()
    assert trigger.after_edit_of_another({"best": 1.0, "wait": 1}) == trigger.begin()
    assert Steps(3).after_edit_of_another(2) == 2
