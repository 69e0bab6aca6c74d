"""The training whose result must not depend on how many devices or processes share the work."""

import json

import keras
import numpy as np
from keras import layers, optimizers

from cgap_keras import CGaP
from tests.models import values_of

STEPS, BATCH = 2, 16


def network(synchronized=False):
    """A small network; with `synchronized`, its normalisation looks at the whole batch on TensorFlow too."""
    image = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 3, use_bias=False, name="conv")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="norm", synchronized=synchronized)(x))
    x = layers.Dense(4, activation="relu", name="hidden")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, layers.Dense(2, name="out")(x))
    model.compile(optimizers.Adam(0.01), loss="mse")
    return model


def data(part=0, parts=1):
    """One part of every batch, and of how many examples it is."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(STEPS, BATCH, 4, 4, 2)), rng.normal(size=(STEPS, BATCH, 2))
    size = BATCH // parts
    of_part = slice(part * size, (part + 1) * size)
    x, y = (np.concatenate(array[:, of_part]).astype("float32") for array in (x, y))
    return x, y, size


def train(model, part=0, parts=1, epochs=3, **options):
    """Trains with growth and pruning, and returns the callback."""
    x, y, size = data(part, parts)
    cgap = CGaP(160, 90, **{"growth_rate": 1.0, "prune_steps": 1, "seed": 0, **options})
    model.fit(x, y, batch_size=size, epochs=epochs, shuffle=False, verbose=0, callbacks=[cgap])
    return cgap


def result_of(model, cgap):
    """What a training ends with, as data: the edits, the values of weights and optimizer."""
    edits = [{"kind": e.kind, "step": e.step, "plan": e.plan, "scores": e.scores} for e in cgap.history]
    arrays = [*values_of(model.weights), *values_of(model.optimizer.variables)]
    return {"edits": edits, "arrays": [x.tolist() for x in arrays]}


def write(path, **results):
    with open(path, "w") as file:
        json.dump(results, file)


def check_equal(expected, actual):
    """Raises an `AssertionError` unless two trainings made the same edits and ended with the same values."""
    assert [e["kind"] for e in expected["edits"]] == ["grow", "prune"]
    for left, right in zip(expected["edits"], actual["edits"], strict=True):
        assert (left["kind"], left["step"], left["plan"]) == (right["kind"], right["step"], right["plan"])
        for group, scores in left["scores"].items():
            np.testing.assert_allclose(right["scores"][group], scores, rtol=1e-4, atol=1e-6)
    for left, right in zip(expected["arrays"], actual["arrays"], strict=True):
        np.testing.assert_allclose(right, left, rtol=0, atol=1e-4)
