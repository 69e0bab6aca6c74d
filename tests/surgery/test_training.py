"""Edits in the middle of training: the loss stays on course, state goes on."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from cgap_keras import apply
from tests.models import difference, randomize, run_model, values_of

BATCHES, BATCH = 8, 8


def network():
    image = keras.Input((4, 4, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="conv")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.Dense(5, activation="tanh", name="hidden")(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(2, name="out")(x))
    randomize(model)
    return model


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCHES * BATCH, 4, 4, 2)).astype("float32")
    return x, np.stack([x[:, 0, 0, 0] * x[:, 1, 1, 1], x.mean(axis=(1, 2, 3))], axis=1)


class Recorder(keras.callbacks.Callback):
    """Keeps the loss after each batch, and does something after some."""

    def __init__(self, actions=None):
        super().__init__()
        self.actions, self.losses = actions or {}, []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))
        if batch in self.actions:
            self.actions[batch](self.model)


def train(optimizer, actions=None, epochs=1, compile_options=None, **options):
    model, recorder = network(), Recorder(actions)
    model.compile(optimizer, loss="mse", **(compile_options or {}))
    x, y = data()
    model.fit(x, y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, callbacks=[recorder], **options)
    return model, np.array(recorder.losses)


def edit_checked(plan):
    """An action: an edit, with all that has to go on looked at right before and after."""

    def action(model):
        optimizer = model.optimizer
        slots = [id(v) for v in optimizer.variables]
        kept = [id(x) for x in (optimizer, *model.layers, *model.variables)], int(optimizer.iterations)
        apply(model, plan)
        assert ([id(x) for x in (optimizer, *model.layers, *model.variables)], int(optimizer.iterations)) == kept
        assert model.optimizer is optimizer and [id(v) for v in optimizer.variables] == slots
        shapes = {tuple(v.shape) for v in model.trainable_variables}
        assert {tuple(v.shape) for v in optimizer.variables if len(v.shape)} <= shapes

    return action


REORDER = {"conv": [2, 0, 3, 1], "hidden": [4, 1, 0, 3, 2]}
GROW = {"conv": [0, 1, 2, 3, 3, 1], "hidden": [0, 0, 1, 2, 3, 4]}

# A step that runs operation by operation has not to be traced; on JAX it is slower, since each operation is compiled.
QUICK = {"run_eagerly": keras.backend.backend() != "jax"}

# Every kind of slot, and every way to run a step; TensorFlow and JAX compile, PyTorch does not.
RUNS = {
    "sgd": (lambda: optimizers.SGD(0.05, momentum=0.9), {"run_eagerly": True}),
    "nesterov": (lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True), {}),
    "adam": (lambda: optimizers.Adam(0.01, amsgrad=True), {"jit_compile": False}),
    "adamw_ema": (lambda: optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.9), {}),
    "accumulating": (lambda: optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=2), QUICK),
    "loss_scale": (lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.01)), QUICK),
}
if keras.backend.backend() != "torch":
    RUNS["jit_compiled"] = (lambda: optimizers.RMSprop(0.01, momentum=0.9, centered=True), {"jit_compile": True})
    RUNS["several_steps"] = (lambda: optimizers.Adam(0.01), {"steps_per_execution": 2})


@pytest.mark.parametrize("run", RUNS)
def test_the_loss_stays_on_course(run):
    optimizer, options = RUNS[run]
    alone, expected = train(optimizer(), compile_options=options)
    edited, losses = train(optimizer(), {1: edit_checked(REORDER), 5: edit_checked(GROW)}, compile_options=options)
    # The loss of a step is computed before its update, so the growth after batch 5 shows from batch 7 on.
    unseen = 3 if run == "several_steps" else 7
    assert np.allclose(losses[:unseen], expected[:unseen], rtol=1e-4)
    assert np.isfinite(losses).all() and len(set(expected.tolist())) == len(expected)
    assert int(edited.optimizer.iterations) == int(alone.optimizer.iterations)
    assert edited.get_layer("conv").filters == 6 and edited.get_layer("hidden").units == 6


def test_a_reordering_changes_nothing_to_the_end():
    x, y = data()
    results = []
    for actions in ({}, {1: edit_checked(REORDER), 4: edit_checked(REORDER)}):
        # With its usual epsilon, Adam makes whole steps of gradients that are nothing but rounding.
        model, losses = train(optimizers.Adam(0.01, epsilon=1e-3), actions, epochs=2, validation_data=(x, y))
        predicted = model.predict(x, verbose=0)
        assert difference(run_model(model, [x]), [predicted]) < 1e-5
        results.append(
            [losses, predicted, np.array(model.evaluate(x, y, verbose=0)), *values_of(model.optimizer.variables[:2])]
        )
    assert difference(*results) < 1e-3


def test_whoever_holds_the_model_can_edit_it():
    """A callback's own `model` brings the variables up to date on JAX; a reference to the model does not."""
    _, expected = train(optimizers.Adam(0.01), compile_options=QUICK)
    model, (x, y), losses = network(), data(), []

    def after_batch(batch, logs):
        losses.append(float(logs["loss"]))
        if batch == 3:
            apply(model, REORDER)

    model.compile(optimizers.Adam(0.01), loss="mse", **QUICK)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=after_batch)
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[callback])
    assert np.allclose(losses, expected, rtol=1e-4)


def test_slots_move_with_their_weights():
    plan = {"conv": [3, 1, 1], "hidden": [0, 4, 0]}
    model, _ = train(optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.9), epochs=1, compile_options=QUICK)
    optimizer = model.optimizer

    def kernels(name):
        index = [id(v) for v in model.trainable_variables].index(id(model.get_layer(name).kernel))
        lists = (optimizer._momentums, optimizer._velocities, optimizer._model_variables_moving_average)
        return values_of([x[index] for x in lists])

    before = {name: kernels(name) for name in ("conv", "hidden", "out")}
    apply(model, plan)
    rows = np.arange(64).reshape(16, 4)[:, plan["conv"]].ravel()
    share = np.tile([1, 0.5, 0.5], 16).astype("float32")[:, None]
    for moment, (conv, hidden, out) in enumerate(zip(*(kernels(n) for n in before), strict=True)):
        average = moment == 2
        assert np.array_equal(conv, before["conv"][moment][..., plan["conv"]])
        assert np.array_equal(hidden, before["hidden"][moment][rows][:, plan["hidden"]] * (share if average else 1))
        halves = np.array([[0.5], [1], [0.5]], "float32") if average else 1
        assert np.array_equal(out, before["out"][moment][plan["hidden"]] * halves)


def test_functions_traced_before_an_edit_are_traced_anew():
    model = network()
    model.compile(optimizers.SGD(0.05), loss="mse")
    x, y = data()
    expected = model.predict(x, verbose=0), model.evaluate(x, y, verbose=0)
    model.train_on_batch(x[:8], y[:8])
    expected = model.predict(x, verbose=0), model.evaluate(x, y, verbose=0)
    apply(model, {"conv": [3, 2, 1, 0, 0], "hidden": [0, 1, 2, 3, 4, 0]})
    assert difference([expected[0]], [model.predict(x, verbose=0)]) < 1e-5
    assert np.isclose(expected[1], model.evaluate(x, y, verbose=0), rtol=1e-5)
    apply(model, {"conv": [0], "hidden": [2]})
    assert difference(run_model(model, [x]), [model.predict(x, verbose=0)]) < 1e-5
    assert np.isfinite(model.train_on_batch(x[:8], y[:8])) and int(model.optimizer.iterations) == 2


def test_frozen_layers_and_their_missing_slots():
    model = network()
    model.get_layer("conv").trainable = False
    model.compile(optimizers.SGD(0.05, momentum=0.9), loss="mse", **QUICK)
    x, y = data()
    model.train_on_batch(x[:8], y[:8])
    kernel = values_of([model.get_layer("conv").kernel])[0]
    apply(model, {"conv": [3, 2, 2], "hidden": [1, 0]})
    assert np.isfinite(model.train_on_batch(x[:8], y[:8]))
    assert np.array_equal(values_of([model.get_layer("conv").kernel])[0], kernel[..., [3, 2, 2]])
    assert [tuple(v.shape) for v in model.optimizer.momentums] == [tuple(v.shape) for v in model.trainable_variables]


def test_before_the_first_step_there_are_no_slots():
    model = network()
    model.compile(optimizers.Adam(0.01), loss="mse", **QUICK)
    apply(model, {"conv": [0, 1, 2, 3, 3]})
    x, y = data()
    assert np.isfinite(model.train_on_batch(x[:8], y[:8]))
    assert [tuple(v.shape) for v in model.optimizer._momentums] == [tuple(v.shape) for v in model.trainable_variables]


def test_early_stopping_of_one_structure_goes_on():
    x, y = data()
    stopper = keras.callbacks.EarlyStopping("loss", patience=5)
    model, losses = train(optimizers.SGD(0.01), {6: edit_checked(GROW)}, epochs=2, compile_options=QUICK)
    model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0, callbacks=[stopper])
    assert len(losses) == 2 * BATCHES and stopper.best < losses[0]


def test_a_trained_model_with_its_optimizer_survives_saving(tmp_path):
    model, _ = train(optimizers.Adam(0.01), {3: edit_checked(GROW), 5: edit_checked({"conv": [0, 5]})})
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x, y = data()
    assert difference(values_of(model.optimizer.variables), values_of(loaded.optimizer.variables)) == 0
    assert np.isclose(model.train_on_batch(x, y), loaded.train_on_batch(x, y), rtol=1e-5)
    assert difference(values_of(model.variables), values_of(loaded.variables)) < 1e-4


def test_old_values_are_let_go():
    model = network()
    model.compile(optimizers.Adam(0.01), loss="mse")
    x, y = data()
    model.train_on_batch(x[:8], y[:8])
    variables = [*model.weights, *model.optimizer._momentums]
    old = [weakref.ref(v._value) for v in variables if 4 in v.shape or 64 in v.shape]
    apply(model, {"conv": [0, 1, 2, 3, 3]})
    gc.collect()
    assert old and not [x for x in old if x() is not None]
