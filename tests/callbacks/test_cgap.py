"""`CGaP` from the begin of training to its end."""

import json
import warnings

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from cgap_keras import CGaP, cost, find_groups
from cgap_keras.saliency import Criterion
from tests.callbacks.quick import QUICK, compiles_often
from tests.graphs import OwnCall
from tests.models import build, values_of

CAPACITY, TARGET = 420, 200


def network(optimizer=None, **options):
    """151 parameters in the seed."""
    image = keras.Input((4, 4, 2), name="image")
    x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="conv")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.Dense(4, activation="relu", name="hidden")(layers.GlobalAveragePooling2D()(x))
    x = layers.Dense(5, activation="relu", name="top")(x)
    model = keras.Model(image, layers.Dense(2, name="out")(x))
    model.compile(optimizer or optimizers.Adam(0.01), loss="mse", **options)
    return model


def data(examples=32):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(examples, 4, 4, 2)).astype("float32")
    return x, np.stack([x[..., 0].mean(axis=(1, 2)), np.abs(x[..., 1]).mean(axis=(1, 2))], axis=1)


def free_widths(model):
    return {g.name: g.size for g in find_groups(model) if not g.frozen}


class Watch(keras.callbacks.Callback):
    """Parameters at the end of each epoch, and the loss."""

    def __init__(self):
        super().__init__()
        self.sizes, self.losses, self.validation = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        self.sizes.append(cost(self.model).params)
        self.losses.append(logs["loss"])
        self.validation.append(logs.get("val_loss"))


def fit(model, cgap, epochs=8, **options):
    watch, (x, y) = Watch(), data()
    options = {"verbose": 0, "batch_size": 16, **options}
    model.fit(x, y, epochs=epochs, callbacks=[cgap, watch], **options)
    return watch


def check_history(cgap, seed_widths, seed_params, model):
    """The record has to be that of what happened: each edit starts where the last one ended."""
    widths, params, steps = dict(seed_widths), seed_params, -1
    assert cgap.initial_widths == seed_widths
    for edit in cgap.history:
        assert (edit.units_before, edit.params_before) == (sum(widths.values()), params)
        assert edit.step > steps and edit.seconds > 0 and edit.kind in ("grow", "prune")
        assert {n: len(s) for n, s in edit.scores.items()} == widths
        for name, index in edit.plan.items():
            assert set(index) <= set(range(widths[name]))
            if edit.kind == "grow":
                assert index[: widths[name]] == list(range(widths[name]))
                assert separates(edit.scores[name], set(index[widths[name] :]))
            else:
                assert separates(edit.scores[name], set(index))
            widths[name] = len(index)
        assert edit.widths == widths and edit.units_after == sum(widths.values())
        params, steps = edit.params_after, edit.step
        assert json.loads(json.dumps(edit.to_dict())) == edit.to_dict()
    assert free_widths(model) == widths and cost(model).params == params


def separates(scores, chosen):
    """Whether no unit that was not chosen scores better than one that was."""
    others = [x for unit, x in enumerate(scores) if unit not in chosen]
    return min(scores[unit] for unit in chosen) >= max(others, default=0)


@pytest.fixture(scope="module")
def grown():
    """One run with everything on; several tests look at it."""
    keras.utils.set_random_seed(0)
    model, cgap, (x, y) = network(), CGaP(CAPACITY, TARGET, prune_steps=2, seed=0), data()
    known = [id(x) for x in (model, model.optimizer, *model.layers, *model.variables, *model.optimizer.variables)]
    widths, params = free_widths(model), cost(model).params
    watch = fit(model, cgap, validation_data=(x, y))
    return model, cgap, watch, known, widths, params


def test_a_run_grows_to_its_capacity_and_ends_at_its_target(grown):
    model, cgap, watch, _, _, params = grown
    assert cgap.finished and cost(model).params <= TARGET
    kinds = [edit.kind for edit in cgap.history]
    assert kinds == sorted(kinds) and {"grow", "prune"} == set(kinds) and kinds.count("prune") == 2
    assert max(watch.sizes) <= CAPACITY and max(watch.sizes) > 0.85 * CAPACITY
    assert watch.sizes[0] == params and watch.sizes[-1] == cost(model).params
    assert [e.epoch for e in cgap.history] == list(range(1, len(kinds) + 1))
    assert [e.step for e in cgap.history] == [2 * e.epoch for e in cgap.history]


def test_the_history_is_what_happened(grown):
    model, cgap, _, _, widths, params = grown
    check_history(cgap, widths, params, model)


def test_the_model_stays_the_same_object_and_goes_on(grown):
    model, _, watch, known, _, _ = grown
    objects = [model, model.optimizer, *model.layers, *model.variables]
    assert [id(x) for x in objects] == known[: len(objects)]
    x, y = data()
    assert np.isclose(model.evaluate(x, y, verbose=0), watch.validation[-1], rtol=1e-4)
    assert int(model.optimizer.iterations) == 16 and np.isfinite(watch.losses).all()
    assert watch.losses[-1] < watch.losses[0]
    expected = optimizers.Adam(0.01)
    expected.build(model.trainable_variables)
    assert [v.shape for v in model.optimizer.variables] == [v.shape for v in expected.variables]
    assert "apply" not in vars(model.optimizer)


@compiles_often
def test_the_same_instance_serves_again(grown):
    model, cgap, *_ = grown
    before, widths, params = len(cgap.history), free_widths(model), cost(model).params
    fit(model, cgap, epochs=3)
    assert before > len(cgap.history) > 0 and cgap.history[0].kind == "grow"
    check_history(cgap, widths, params, model)
    other = network()
    widths, params = free_widths(other), cost(other).params
    fit(other, cgap, epochs=2)
    check_history(cgap, widths, params, other)


def test_the_same_seed_gives_the_same_run():
    runs = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(0)
        model, cgap = network(**QUICK), CGaP(CAPACITY, TARGET, seed=seed)
        fit(model, cgap, epochs=3, shuffle=False)
        runs.append(np.concatenate([x.ravel() for x in values_of(model.weights)]))
    assert np.allclose(runs[0], runs[1], rtol=1e-4, atol=1e-6)
    assert runs[0].shape != runs[2].shape or not np.allclose(runs[0], runs[2], rtol=1e-4, atol=1e-6)


OWN = Criterion("own", lambda slices: sum(keras.ops.sum(x**2, axis=0) ** 2 for x in slices.weights.values()))


@pytest.mark.parametrize("criterion", ["l1", "l2", OWN], ids=["l1", "l2", "own"])
def test_criteria_without_gradients(criterion):
    model = network(**QUICK)
    cgap, seed = (
        CGaP(300, 160, growth_rate=1.0, prune_steps=1, criterion=criterion),
        (free_widths(model), cost(model).params),
    )
    fit(model, cgap, epochs=5)
    check_history(cgap, *seed, model)
    assert cgap.finished and cost(model).params <= 160


@compiles_often
def test_a_line_an_edit(capsys):
    model, cgap = network(**QUICK), CGaP(300, 160, growth_rate=1.0, prune_steps=1)
    fit(model, cgap, epochs=5, verbose=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if "·" in line]
    assert lines == [edit.describe() for edit in cgap.history] and len(lines) > 1
    assert lines[0].startswith("epoch 1 · grow · units 12 -> ")
    fit(model, cgap, epochs=2, verbose=0)
    assert capsys.readouterr().out == ""


@compiles_often
def test_an_early_end_is_told(capsys):
    model, cgap = network(**QUICK), CGaP(CAPACITY, TARGET)
    fit(model, cgap, epochs=1, verbose=2)
    assert "still to grow" in capsys.readouterr().out and not cgap.finished and cgap.history == []
    cgap = CGaP(cost(model).params, 60, prune_steps=5)
    fit(model, cgap, epochs=3, verbose=2)
    assert "still to prune" in capsys.readouterr().out and [e.kind for e in cgap.history] == ["prune", "prune"]


@compiles_often
def test_edits_every_few_epochs():
    model, cgap = network(**QUICK), CGaP(CAPACITY, TARGET, every=2, criterion="l1")
    watch = fit(model, cgap, epochs=6)
    assert [edit.epoch for edit in cgap.history] == [2, 4]
    assert watch.sizes[0] == watch.sizes[1] < watch.sizes[2] == watch.sizes[3] != watch.sizes[4]


def test_checkpoints_written_in_training_load(tmp_path):
    model, (x, y) = network(), data()
    path = tmp_path / "{epoch}.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(path)
    kept = {}
    copy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.update({epoch + 1: values_of([*model.weights, *trained_state(model)])})
    )
    model.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=[CGaP(CAPACITY, TARGET, seed=0), checkpoint, copy])
    for epoch in (1, 3):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DeprecationWarning)
            loaded = keras.models.load_model(str(path).format(epoch=epoch))
        assert all(
            np.array_equal(a, b)
            for a, b in zip(kept[epoch], values_of([*loaded.weights, *loaded.optimizer.variables]), strict=True)
        )
        assert int(loaded.optimizer.iterations) == 2 * epoch
        assert np.isfinite(loaded.fit(x, y, verbose=0).history["loss"][0])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's own checkpoints")
def test_tensorflow_can_track_the_optimizer_after_a_run(grown):
    optimizer = grown[0].optimizer
    # Raises where a tracked list was shortened.
    assert len(optimizer._variables._trackable_children()) == len(optimizer.variables)


def trained_state(model):
    """The optimizer's variables but for what an observer adds."""
    return [v for v in model.optimizer.variables if "saliency" not in v.path]


class Interrupt(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_training_goes_on_after_an_interruption():
    model, cgap, (x, y) = network(), CGaP(CAPACITY, TARGET, seed=0), data()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=[cgap, Interrupt(1)])
    assert [edit.kind for edit in cgap.history] == ["grow"]
    widths, params = free_widths(model), cost(model).params
    fit(model, cgap, epochs=2)
    check_history(cgap, widths, params, model)
    assert "apply" not in vars(model.optimizer) and trained_state(model) == list(model.optimizer.variables)


def test_wrapped_optimizers_and_averages_train_through():
    optimizer = optimizers.LossScaleOptimizer(optimizers.SGD(0.05, momentum=0.9, use_ema=True))
    model, cgap = network(optimizer, **QUICK), CGaP(300, 160, 1.0, 1, seed=0)
    watch = fit(model, cgap, epochs=5)
    assert cgap.finished and cost(model).params <= 160 and np.isfinite(watch.losses).all()
    inner = optimizer.inner_optimizer
    for slots in (inner.momentums, inner._model_variables_moving_average):
        assert [tuple(v.shape) for v in slots] == [tuple(v.shape) for v in model.trainable_variables]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capacity": 0, "target": -1}, "`capacity`"),
        ({"capacity": 10, "target": 0}, "`target`"),
        ({"capacity": 10, "target": 11}, "`target`.*target=11, capacity=10"),
        ({"capacity": 10, "target": 5, "growth_rate": 0}, "`growth_rate`"),
        ({"capacity": 10, "target": 5, "prune_steps": 0}, "`prune_steps`"),
        ({"capacity": 10, "target": 5, "every": 0}, "`every`"),
        ({"capacity": 10, "target": 5, "criterion": "best"}, "`criterion`"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CGaP(**options)


def refused(model, message, optimizer="sgd"):
    """Whether training is refused with no weight changed."""
    model.compile(optimizer, loss="mse", run_eagerly=True)
    x = np.ones((2, *model.input_shape[1:]), "float32")
    before = values_of(model.variables)
    with pytest.raises(ValueError, match=message):
        model.fit(x, np.ones((2, *model.output_shape[1:])), verbose=0, callbacks=[CGaP(100, 50)])
    return all(np.array_equal(a, b) for a, b in zip(before, values_of(model.variables), strict=True))


def test_a_model_with_nothing_to_resize_is_refused_before_training():
    vector = keras.Input((3,))
    assert refused(keras.Model(vector, layers.Dense(2, name="only")(vector)), "no channel group.*only: it is an output")


class Summing(optimizers.SGD):
    """Keeps state of which nobody else knows the axes, and cannot be made from its configuration."""

    def __init__(self, secret, **kwargs):
        super().__init__(**kwargs)

    def build(self, variables):
        super().build(variables)
        self.sums = [self.add_variable((7,), name="sum") for _ in variables]


def test_an_optimizer_that_cannot_be_carried_is_refused_before_training():
    assert refused(build("sequential"), "Summing", Summing("secret"))


def test_a_layer_whose_cost_is_not_known_is_refused_before_training():
    image = keras.Input((4, 4, 2))
    x = layers.Flatten()(OwnCall(3, 1, name="own")(image))
    model = keras.Model(image, layers.Dense(2)(layers.Dense(3, name="hidden")(x)))
    assert refused(model, "'own'")
