"""Every optimizer of Keras goes on with its state after an edit."""

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from cgap_keras import apply
from tests.models import difference, randomize, run_model

STEPS, BATCH = 5, 6
REORDER = {"conv": [2, 0, 3, 1], "hidden": [4, 1, 0, 3, 2]}
GROW = {"conv": [0, 1, 2, 3, 3, 1], "hidden": [0, 0, 1, 2, 3, 4]}


def two_optimizers():
    vectors, others = optimizers.SGD(0.05, momentum=0.9), optimizers.Adam(0.02)
    return optimizers.MultiOptimizer(lambda variable: vectors if len(variable.shape) == 1 else others)


OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.05),
    "sgd_momentum": lambda: optimizers.SGD(0.05, momentum=0.9, weight_decay=0.01),
    "sgd_nesterov": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipnorm=0.5),
    "adam": lambda: optimizers.Adam(0.02, clipvalue=0.1),
    "adam_amsgrad": lambda: optimizers.Adam(0.02, amsgrad=True, global_clipnorm=0.5),
    "adamw": lambda: optimizers.AdamW(0.02, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=2),
    "nadam": lambda: optimizers.Nadam(0.02),
    "adamax": lambda: optimizers.Adamax(0.02),
    "rmsprop": lambda: optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "adagrad": lambda: optimizers.Adagrad(0.05),
    "adadelta": lambda: optimizers.Adadelta(1.0),
    "ftrl": lambda: optimizers.Ftrl(0.5),
    "lion": lambda: optimizers.Lion(0.005),
    "lamb": lambda: optimizers.Lamb(0.02),
    "adafactor": lambda: optimizers.Adafactor(0.05),
    "muon": lambda: optimizers.Muon(0.02, exclude_layers=["out"]),
    "schedule_free": lambda: optimizers.ScheduleFreeAdamW(0.02, warmup_steps=2),
    "loss_scale": lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.02), dynamic_growth_steps=2),
    "accumulating": lambda: optimizers.Adam(0.02, gradient_accumulation_steps=2),
    "schedule": lambda: optimizers.SGD(optimizers.schedules.CosineDecay(0.05, STEPS), momentum=0.9),
    "multi": two_optimizers,
}
# Operation by operation: nothing has to be traced. JAX compiles every operation, so there one step is compiled whole.
EAGERLY = keras.backend.backend() != "jax"


def network():
    image = keras.Input((4, 4, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="tanh", name="conv")(image)
    x = layers.Dense(5, activation="tanh", name="hidden")(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(2, name="out")(x))
    randomize(model)
    return model


def data():
    x = np.random.default_rng(0).normal(size=(STEPS * BATCH, 4, 4, 2)).astype("float32")
    return x, np.stack([x[:, 0, 0, 0] * x[:, 1, 1, 1], x.mean(axis=(1, 2, 3))], axis=1)


def train(optimizer, plan=None, at=3):
    """The losses of some steps and the outputs after them, with an edit between two steps."""
    model, (x, y), losses = network(), data(), []
    model.compile(optimizer, loss="mse", run_eagerly=EAGERLY)
    for step in range(STEPS):
        if plan and step == at:
            apply(model, plan)
        batch = slice(step * BATCH, (step + 1) * BATCH)
        losses.append(float(model.train_on_batch(x[batch], y[batch])))
    return np.array(losses), run_model(model, [x])


@pytest.mark.usefixtures("quick_weights")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_reordering_in_the_middle_of_training_changes_nothing(name):
    losses, outputs = train(OPTIMIZERS[name]())
    edited_losses, edited_outputs = train(OPTIMIZERS[name](), REORDER)
    assert difference([losses], [edited_losses]) < 1e-4 and difference(outputs, edited_outputs) < 1e-3
    assert len(set(losses.tolist())) == STEPS


@pytest.mark.usefixtures("quick_weights")
@pytest.mark.parametrize("name", ["sgd_momentum", "adafactor", "ftrl", "schedule_free", "multi"])
def test_split_growth_leaves_the_next_loss_unchanged(name):
    losses, _ = train(OPTIMIZERS[name]())
    grown, _ = train(OPTIMIZERS[name](), GROW)
    assert np.allclose(losses[:4], grown[:4], rtol=1e-4) and np.isfinite(grown).all()


@pytest.mark.usefixtures("quick_weights")
@pytest.mark.parametrize("name", ["ftrl", "schedule_free"])
def test_weights_that_are_computed_from_a_slot_stay_shared_out(name):
    """A step without a gradient makes the weights anew from the slot: were it not shared out, they would double."""
    outputs = []
    for plan in (None, GROW):
        model, (x, y) = network(), data()
        model.compile(OPTIMIZERS[name](), loss="mse", run_eagerly=EAGERLY)
        for _ in range(3):
            model.train_on_batch(x, y)
        if plan:
            apply(model, plan)
        model.train_on_batch(x, y, sample_weight=np.zeros(len(x)))
        outputs.append(run_model(model, [x]))
    assert difference(*outputs) < 1e-4


@pytest.mark.usefixtures("quick_weights")
@pytest.mark.parametrize("name", ["adamw", "ftrl", "schedule_free"])
@pytest.mark.parametrize(("new_units", "noisy", "axis"), [("split", "out", 0), ("zero", "hidden", 1)])
def test_weights_that_are_computed_from_a_slot_keep_their_noise(name, new_units, noisy, axis):
    """Were it not in the slot as well, the next step would make a new unit its parent's twin again, for ever."""
    model, (x, y) = network(), data()
    model.compile(OPTIMIZERS[name](), loss="mse", run_eagerly=EAGERLY)
    for _ in range(3):
        model.train_on_batch(x, y)
    apply(model, {"hidden": [0, 1, 2, 3, 4, 4]}, new_units=new_units, noise=0.1, seed=0)
    apart = []
    for _ in range(2):
        first, second = np.moveaxis(keras.ops.convert_to_numpy(model.get_layer(noisy).kernel), axis, 0)[-2:]
        apart.append(np.linalg.norm(first - second))
        model.train_on_batch(x, y)
    assert apart[0] > 0 and apart[1] > 0.8 * apart[0]


class Preconditioned(optimizers.SGD):
    """An optimizer of the user's own, with state in shapes that tell nothing of its variables' axes."""

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self._factors = [
                self.add_variable(shape=(v.shape[-1], 2), initializer="ones", name="factor") for v in variables
            ]
            self._sketch = self.add_variable(shape=(sum(map(keras.ops.size, variables)),), name="sketch")

    def update_step(self, gradient, variable, learning_rate):
        factor = self._factors[self._get_variable_index(variable)]
        factor.assign(factor * 2)
        super().update_step(gradient, variable, learning_rate)


def test_state_of_another_shape_begins_anew_and_the_report_says_so():
    model, (x, y) = network(), data()
    model.compile(Preconditioned(0.05, momentum=0.9), loss="mse", run_eagerly=EAGERLY)
    model.train_on_batch(x[:BATCH], y[:BATCH])
    optimizer = model.optimizer
    momentum = np.array(optimizer.momentums[2])
    report = apply(model, {"hidden": [4, 0, 1]})
    of_hidden, of_others = optimizer._factors[2:5], optimizer._factors[:2] + optimizer._factors[5:]
    assert set(report.reset) == {optimizer._sketch.path} | {x.path for x in of_hidden}
    assert [tuple(x.shape) for x in of_hidden] == [(3, 2), (3, 2), (2, 2)]
    assert all(np.all(np.array(x) == 1) for x in of_hidden) and all(np.all(np.array(x) == 2) for x in of_others)
    np.testing.assert_array_equal(np.array(optimizer.momentums[2]), momentum[:, [4, 0, 1]])
    model.train_on_batch(x[:BATCH], y[:BATCH])
    assert np.all(np.array(of_hidden[0]) == 2)
