"""Training in which the units of every group are put in another order now and then: nothing may come of it."""

import keras
import numpy as np
from keras import layers

from cgap_keras import apply, find_groups
from tests.callbacks.quick import QUICK
from tests.models import randomize

BATCHES, BATCH = 4, 8


def graph():
    """The input and the output of a small network with a statistic in it."""
    options = {"activation": "tanh", "kernel_initializer": "zeros"}  # `randomize` draws the weights
    vector = keras.Input((6,), name="vector")
    x = layers.Dense(4, name="first", **options)(vector)
    x = layers.Dense(5, name="second", **options)(layers.BatchNormalization(name="norm")(x))
    return vector, layers.Dense(2, name="out", dtype="float32", kernel_initializer="zeros")(x)


def network(optimizer="adam", loss="mse", **options):
    model = keras.Model(*graph())
    return compiled(model, optimizer, loss=loss, **{**QUICK, **options})


def compiled(model, optimizer, **options):
    randomize(model)
    model.compile(optimizer, **options)
    return model


def data():
    x = np.random.default_rng(0).normal(size=(BATCHES * BATCH, 6)).astype("float32")
    return x, np.stack([x[:, 0] * x[:, 1], x.mean(axis=1)], axis=1)


def shuffled(model, rng):
    """A plan that puts the units of every group in another order."""
    return {g.name: rng.permutation(g.size).tolist() for g in find_groups(model) if not g.frozen}


class EditAt(keras.callbacks.Callback):
    """Edits at some moments, such as `("epoch_begin", 2)`, or `("batch_end", 5)` of all batches that are trained on.

    The units of every group are put in another order, unless another plan is given.
    """

    def __init__(self, *moments, plan=None):
        super().__init__()
        self.moments, self.plan, self.rng, self.plans, self.batches = moments, plan, np.random.default_rng(0), [], 0

    def on_train_batch_end(self, batch, logs=None):
        self._at("batch_end", self.batches)
        self.batches += 1

    def on_test_batch_end(self, batch, logs=None):
        self._at("test_batch_end", batch)

    def on_epoch_begin(self, epoch, logs=None):
        self._at("epoch_begin", epoch)

    def on_epoch_end(self, epoch, logs=None):
        self._at("epoch_end", epoch)

    def _at(self, *moment):
        if moment in self.moments:
            self.plans.append(self.plan or shuffled(self.model, self.rng))
            self.edit(self.plans[-1])

    def edit(self, plan):
        apply(self.model, plan)


def fit(model, callbacks=(), epochs=3, **options):
    """What training says of itself, after each batch and after each epoch, as arrays."""
    x, y, losses = *data(), []
    record = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(dict(logs)))
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0, **options}
    history = model.fit(x, options.pop("y", y), epochs=epochs, callbacks=[*callbacks, record], **options).history
    batches = {f"batch_{key}": [logs[key] for logs in losses] for key in losses[0]}
    return [np.array(values) for values in (batches | history).values()]
