"""Saliency gathered in training, against gradients written out by hand."""

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from cgap_keras import apply, find_groups
from cgap_keras.saliency import CRITERIA, GradientObserver
from cgap_keras.surgery.live import push_state
from tests.models import values_of

RATE, STEPS, EXAMPLES = 0.1, 3, 4


def linear_network():
    vector = keras.Input((3,), name="vector")
    hidden = layers.Dense(4, name="hidden", bias_initializer="random_normal")(vector)
    return keras.Model(vector, layers.Dense(2, name="out")(hidden))


def data():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(STEPS * EXAMPLES, n)).astype("float32") for n in (3, 2)]


class Observe(keras.callbacks.Callback):
    """Listens from the begin of training to its end."""

    def on_train_begin(self, logs=None):
        self.observer = GradientObserver(self.model, find_groups(self.model), CRITERIA["taylor"])
        self.observer.attach()
        push_state(self.model)

    def on_train_end(self, logs=None):
        self.scores = self.observer.scores()
        self.observer.detach()
        push_state(self.model)


def expected_scores(weights, x, y, epochs):
    """Gradient descent on the mean squared error of a network of two linear layers; |w * dL/dw|, added up."""
    w, b, v, c = (value.astype(np.float64) for value in weights)
    hidden, out = np.zeros(4), np.zeros(2)
    for step in [*range(STEPS)] * epochs:
        a, t = x[step * EXAMPLES :][:EXAMPLES], y[step * EXAMPLES :][:EXAMPLES]
        h = a @ w + b
        error = 2 * (h @ v + c - t) / t.size
        dw, db, dv, dc = a.T @ error @ v.T, (error @ v.T).sum(axis=0), h.T @ error, error.sum(axis=0)
        hidden += np.abs(w * dw).sum(axis=0) + np.abs(b * db)
        out += np.abs(v * dv).sum(axis=0) + np.abs(c * dc)
        w, b, v, c = w - RATE * dw, b - RATE * db, v - RATE * dv, c - RATE * dc
    return {"hidden": hidden, "out": out}


OPTIMIZERS = {
    "plain": lambda: optimizers.SGD(RATE),
    "averaging": lambda: optimizers.SGD(RATE, use_ema=True, ema_momentum=0.0),
    "scaled_loss": lambda: optimizers.LossScaleOptimizer(optimizers.SGD(RATE), initial_scale=8.0),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("eagerly", [False, True] if keras.backend.backend() == "tensorflow" else [False])
def test_scores_are_those_of_gradients_written_out(kind, eagerly):
    model, (x, y), observe = linear_network(), data(), Observe()
    weights = values_of(model.weights)
    model.compile(OPTIMIZERS[kind](), loss="mse", run_eagerly=eagerly)
    model.fit(x, y, batch_size=EXAMPLES, epochs=2, shuffle=False, verbose=0, callbacks=[observe])
    expected = expected_scores(weights, x, y, 2)
    for name, scores in expected.items():
        assert np.allclose(observe.scores[name], scores, rtol=1e-4)


def facts_of_optimizer(optimizer):
    return {
        "attributes": sorted(vars(optimizer)),
        "variables": [id(v) for v in optimizer.variables],
        "apply": optimizer.apply.__func__,
        "save": optimizer.save_own_variables.__func__,
        "load": optimizer.load_own_variables.__func__,
    }


def compiled(kind="plain"):
    model = linear_network()
    model.compile(optimizers.Adam(0.01) if kind == "plain" else OPTIMIZERS[kind](), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.parametrize("kind", ["plain", "scaled_loss"])
def test_the_optimizer_is_left_as_it_was(kind):
    model, (x, y), observe = compiled(kind), data(), Observe()
    everyone = [model.optimizer, *([model.optimizer.inner_optimizer] if kind == "scaled_loss" else [])]
    before = [facts_of_optimizer(x) for x in everyone]
    model.fit(x, y, batch_size=EXAMPLES, verbose=0, callbacks=[observe])
    assert [facts_of_optimizer(x) for x in everyone] == before
    model.fit(x, y, batch_size=EXAMPLES, verbose=0)
    assert int(model.optimizer.iterations) == 2 * STEPS


def test_observing_changes_no_step():
    results = []
    for callbacks in ([], [Observe()]):
        keras.utils.set_random_seed(0)
        model, (x, y) = compiled(), data()
        model.fit(x, y, batch_size=EXAMPLES, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        results.append(np.concatenate([v.ravel() for v in values_of(model.weights)]))
    assert np.allclose(*results, rtol=1e-5, atol=1e-7)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


def test_after_an_interruption_another_observer_takes_over():
    model, (x, y) = compiled(), data()
    before = facts_of_optimizer(model.optimizer)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=EXAMPLES, verbose=0, callbacks=[Observe(), Interrupt()])
    observe = Observe()
    model.fit(x, y, batch_size=EXAMPLES, verbose=0, callbacks=[observe])
    assert facts_of_optimizer(model.optimizer) == before
    assert all(np.all(x > 0) for x in observe.scores.values())


def test_after_an_interruption_the_model_can_be_edited_saved_and_trained(tmp_path):
    model, (x, y) = compiled(), data()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=EXAMPLES, verbose=0, callbacks=[Observe(), Interrupt()])
    apply(model, {"hidden": [0, 1, 2, 3, 3]})
    assert np.isfinite(model.fit(x, y, batch_size=EXAMPLES, verbose=0).history["loss"][0])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [v.shape for v in loaded.optimizer.variables] == [v.shape for v in compiled_like(model).variables]


def compiled_like(model):
    optimizer = optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)
    return optimizer


def test_a_group_in_which_nothing_is_trained_is_refused():
    model = linear_network()
    model.get_layer("hidden").trainable = False
    model.compile(optimizers.SGD(RATE), loss="mse")
    with pytest.raises(
        ValueError, match="'taylor' requires a layer that is trained.*none: hidden. .*criterion='taylor'"
    ):
        GradientObserver(model, find_groups(model), CRITERIA["taylor"])
