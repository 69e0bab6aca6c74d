"""Edits in other kinds of training: a reordering of all units in the middle changes nothing to the end."""

import keras
import numpy as np
import pytest

from tests.callbacks.quick import QUICK
from tests.callbacks.shuffling import EditAt, compiled, data, fit, graph
from tests.models import difference, run_model


class OwnStep(keras.Model):
    """A step of its own around Keras's."""

    def train_step(self, *args):
        *state, (x, *rest) = args
        return super().train_step(*state, (2.0 * x, *rest))


class OwnConstructor(OwnStep):
    """The same with a constructor that makes the graph."""

    def __init__(self, flavour="plain", **kwargs):
        super().__init__(*graph(), **kwargs)
        self.flavour = flavour


def own_step():
    """A subclass made from a graph, with a step of its own, in half precision; classes of unequal weight."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = compiled(OwnStep(*graph()), "adam", loss=loss, weighted_metrics=["accuracy"], **QUICK)
    x, y = data()[0], (data()[1][:, 0] > 0).astype("int32")
    return model, {"y": y, "class_weight": {0: 1.0, 1: 3.0}, "validation_data": (x, y), "validation_steps": 2}


def own_constructor():
    """A subclass with a constructor and a step of its own, whose losses are scaled; examples of unequal weight."""
    keras.config.set_dtype_policy("mixed_float16")
    model = compiled(OwnConstructor("mint"), "adam", loss="mse", metrics=["mae"], **QUICK)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    return model, {"sample_weight": np.linspace(0, 2, len(data()[0]))}


@pytest.fixture(autouse=True)
def precision_of_before():
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


def train(make, callbacks=()):
    """Two calls of `fit` in a row."""
    model, options = make()
    optimizer = model.optimizer
    told = [x for _ in range(2) for x in fit(model, callbacks, epochs=1, **options)]
    assert model.optimizer is optimizer
    return [*told, *run_model(model, [data()[0]])]


# In the middle of what is trained on, in the middle of a validation, and between two calls of `fit`.
MOMENTS = {
    own_step: [("batch_end", 1), ("test_batch_end", 0), ("epoch_end", 0)],
    own_constructor: [("batch_end", 1), ("epoch_end", 0)],
}


@pytest.mark.parametrize("make", MOMENTS)
def test_a_reordering_in_the_middle_changes_nothing_to_the_end(make):
    reorder = EditAt(*MOMENTS[make])
    expected, edited = train(make), train(make, [reorder])
    assert len(reorder.plans) >= len(reorder.moments) and difference(expected, edited) < 1e-3
    assert len(set(expected[0])) == len(expected[0])
