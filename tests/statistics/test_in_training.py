"""Moving statistics behind a pruning in `fit`: those of the batches since then, and of nothing before."""

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from cgap_keras import BackupAndRestore, Growth, Pruning, Steps, apply, cost, reestimate_statistics
from cgap_keras.statistics import in_training
from tests.callbacks.quick import QUICK, compiles_often
from tests.callbacks.test_backup import Interrupt, everything, interrupted
from tests.models import difference, randomize, same_values, values_of
from tests.statistics.test_reestimation import normalizations, statistics_of

EXAMPLES, MOMENTUM = 16, 0.9

not_on_torch = pytest.mark.skipif(keras.backend.backend() == "torch", reason="takes one step at a time on PyTorch")


class OwnStep(keras.Model):
    """Nobody knows how often it runs the layers."""

    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)


def network(kind=keras.Model, make_optimizer=optimizers.SGD, options=(), rate=0.0, **compiling):
    """An encoder that runs twice a step, and a normalisation of what comes out of both."""
    options = {"momentum": MOMENTUM, **dict(options)}
    vector = keras.Input((6,), name="vector")
    x = layers.BatchNormalization(name="norm", **options)(layers.Dense(8, name="first")(vector))
    encoder = keras.Model(vector, layers.ReLU()(x), name="encoder")
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    x = layers.Add()([encoder(left), encoder(right)])
    x = layers.BatchNormalization(name="top", **options)(layers.Dense(7, name="second")(x))
    model = kind([left, right], layers.Dense(2, name="out")(x))
    randomize(model)
    # With a rate of zero, weights stay as they are, and all batches have the same statistics.
    model.compile(make_optimizer(rate), loss="mse", **{**QUICK, **compiling})
    return model


def accumulating(rate):
    return optimizers.SGD(rate, gradient_accumulation_steps=3)


def with_a_loss_scale(rate):
    return optimizers.LossScaleOptimizer(optimizers.SGD(rate))


def data():
    rng = np.random.default_rng(0)
    x = [rng.normal(1.0, 2.0, size=(EXAMPLES, 6)).astype("float32") for _ in range(2)]
    return x, np.stack([x[0][:, 0], x[1][:, 1]], axis=1)


def fit(model, *callbacks, epochs=2, repeats=3, **options):
    """Some batches an epoch, all of the same examples."""
    x, y = data()
    x, y = [np.tile(array, (repeats, 1)) for array in x], np.tile(y, (repeats, 1))
    options = {"batch_size": EXAMPLES, "shuffle": False, "verbose": 0, **options}
    return model.fit(x, y, epochs=epochs, callbacks=list(callbacks), **options)


def pruning(model, **options):
    return Pruning(cost(model).params // 2, steps=1, round_to=1, criterion="l1", **options)


def expected_statistics(model):
    """Of the batch, by hand; where the encoder runs twice, the second run weighs more."""
    norm, top = normalizations(model)
    first, second = model.get_layer("encoder").get_layer("first"), model.get_layer("second")
    parts = [array.astype(float) @ values_of([first.kernel])[0] + values_of([first.bias])[0] for array in data()[0]]
    gamma, beta = values_of([norm.gamma, norm.beta])
    x = sum(np.maximum(gamma * (p - p.mean(0)) / np.sqrt(p.var(0) + norm.epsilon) + beta, 0) for p in parts)
    x = x @ values_of([second.kernel])[0] + values_of([second.bias])[0]
    twice = [(MOMENTUM * a + b) / (MOMENTUM + 1) for a, b in zip(*[(p.mean(0), p.var(0)) for p in parts], strict=True)]
    return [*twice, x.mean(0), x.var(0)]


@pytest.mark.parametrize(
    ("repeats", "options"),
    [
        pytest.param(1, {}, id="one batch"),
        pytest.param(5, {}, id="five batches", marks=compiles_often),
        pytest.param(4, {"make_optimizer": accumulating}, id="accumulated gradients", marks=compiles_often),
        pytest.param(4, {"steps_per_execution": 2, "run_eagerly": False}, id="two steps at once", marks=not_on_torch),
    ],
)
def test_they_are_those_of_the_batches_behind_the_edit(repeats, options):
    model = network(**options)
    before = statistics_of(model)
    fit(model, pruning(model), repeats=repeats)
    after = statistics_of(model)
    assert len(after[0]) < len(before[0]) or len(after[2]) < len(before[2])
    assert difference(expected_statistics(model), after) < 1e-4


def test_in_the_middle_of_an_epoch_and_once_more_behind_a_second_edit():
    model = network()
    callback = Pruning(cost(model).params // 2, steps=2, round_to=1, criterion="l1", every=Steps(2))
    fit(model, callback, epochs=1, repeats=5)
    assert [edit.step for edit in callback.history] == [2, 4]
    assert difference(expected_statistics(model), statistics_of(model)) < 1e-4


def test_validation_sees_them_and_training_goes_on_as_without_them(monkeypatch):
    def run():
        model = network(rate=0.01)
        history = fit(model, pruning(model), epochs=3, validation_data=data()).history
        statistics = {id(x) for layer in normalizations(model) for x in (layer.moving_mean, layer.moving_variance)}
        return model, history, values_of([x for x in model.weights if id(x) not in statistics])

    model, history, weights = run()
    monkeypatch.setattr(in_training, "begin", lambda model: None)
    _, without, same_weights = run()
    assert history["loss"] == without["loss"] and same_values(weights, same_weights)
    assert history["val_loss"][0] == without["val_loss"][0] and history["val_loss"][1] != without["val_loss"][1]
    reestimate_statistics(model, data()[0])
    anew = model.evaluate(*data(), verbose=0)
    distances = [abs(run["val_loss"][-1] - anew) for run in (history, without)]
    assert distances[0] < 0.2 * distances[1]


@compiles_often
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"kind": OwnStep}, id="a step of the user's own"),
        pytest.param({"make_optimizer": with_a_loss_scale}, id="a loss scale"),
        pytest.param({"options": {"renorm": True}}, id="renormalisation"),
        pytest.param({"options": {"trainable": False}}, id="no training"),
        pytest.param({"options": {"momentum": 1.0}}, id="no updates"),
    ],
)
def test_where_updates_cannot_be_counted_they_are_left_alone(monkeypatch, options):
    def run():
        model = network(**options)
        fit(model, pruning(model))
        return statistics_of(model)

    found = run()
    monkeypatch.setattr(in_training, "begin", lambda model: None)
    assert same_values(found, run())


def test_a_growth_that_leaves_the_function_alone_leaves_them_alone(monkeypatch):
    begun = []
    monkeypatch.setattr(in_training, "begin", begun.append)
    model = network()
    growth = Growth(2 * cost(model).params, criterion="l1", seed=0)
    fit(model, growth)
    assert growth.history and not begun


@compiles_often
def test_an_edit_by_somebody_else_ends_it():
    """Its widths are others, and what began before it cannot be settled."""
    model = network()
    callback = pruning(model)

    def edit(batch, logs=None):
        if len(callback.history) == 1:
            apply(model, {"second": list(range(model.get_layer("second").units - 1))})

    fit(model, callback, keras.callbacks.LambdaCallback(on_train_batch_end=edit), validation_data=data())
    assert [edit.kind for edit in callback.history] == ["prune", "edit"] and len(statistics_of(model)[2]) < 7


def test_new_statistics_end_it_too():
    model = network()
    callback = pruning(model)

    def reestimate(epoch, logs=None):
        if epoch == 1:
            reestimate_statistics(model, data()[0])
            seen.append(statistics_of(model))

    seen = []
    fit(model, callback, keras.callbacks.LambdaCallback(on_epoch_begin=reestimate))
    # The last row, after the same batches: on the way from one mean of the two calls to another.
    assert len(callback.history) == 1 and difference(seen[0], statistics_of(model)) < 0.05


@compiles_often
def test_a_training_that_is_taken_up_again_knows_of_them(tmp_path):
    def run(watch, *backup):
        keras.utils.set_random_seed(0)
        model = network(rate=0.01)
        fit(model, watch, *backup, pruning(model), repeats=4)
        return everything(model)

    interrupted(lambda watch: run(watch, BackupAndRestore(tmp_path, save_freq=2)), 1, 2)
    assert run(Interrupt(), BackupAndRestore(tmp_path, save_freq=2)) == run(Interrupt())
