"""Statistics of batch normalisation, taken anew, against sums written out in NumPy."""

import keras
import numpy as np
import pytest
from keras import layers

from cgap_keras.statistics import reestimate_statistics
from tests.models import difference, randomize, run_model, same_values, values_of

EXAMPLES, BATCH = 20, 8


class Fragile(layers.Layer):
    """Passes a few batches on, and then no more."""

    left = 1000

    def call(self, inputs):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("No more.")
        return inputs


def network(**options):
    """A nested encoder of two inputs, and a normalisation of what comes out of both."""
    vector = keras.Input((6,), name="vector")
    x = layers.BatchNormalization(name="norm", **options)(layers.Dense(4, name="first")(vector))
    encoder = keras.Model(vector, layers.ReLU()(layers.Dropout(0.5, name="dropout")(x)), name="encoder")
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    x = layers.Add()([encoder(left), encoder(right)])
    x = Fragile(name="fragile")(layers.BatchNormalization(name="top", **options)(x))
    model = keras.Model([left, right], layers.Dense(2, name="out")(x))
    randomize(model)
    model.compile("adam", loss="mse", metrics=["mae"], run_eagerly=keras.backend.backend() != "jax")
    return model


def data():
    rng = np.random.default_rng(0)
    return [rng.normal(1.0, 2.0, size=(EXAMPLES, 6)).astype("float32") for _ in range(2)]


def normalizations(model):
    return model.get_layer("encoder").get_layer("norm"), model.get_layer("top")


def statistics_of(model):
    return [x for layer in normalizations(model) for x in values_of([layer.moving_mean, layer.moving_variance])]


def expected_statistics(model, inputs):
    """Means and variances of the batches, on average over examples and calls, in the order of `statistics_of`."""
    norm, top = normalizations(model)
    kernel, bias = (x.astype(float) for x in values_of(model.get_layer("encoder").get_layer("first").weights))
    gamma, beta = values_of([norm.gamma, norm.beta])
    found = {"norm": [], "top": []}

    def note(name, x):
        found[name].append((len(x), x.mean(axis=0), x.var(axis=0)))
        return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + norm.epsilon)

    for start in range(0, EXAMPLES, BATCH):
        parts = [note("norm", x[start : start + BATCH] @ kernel + bias) for x in inputs]
        note("top", sum(np.maximum(part * gamma + beta, 0) for part in parts))
    return [
        np.average([x[i] for x in found[name]], axis=0, weights=[x[0] for x in found[name]])
        for name in found
        for i in (1, 2)
    ]


def everything_else(model):
    """All values that have to stay, and what the layers that take part say of themselves."""
    statistics = {id(v) for layer in normalizations(model) for v in (layer.moving_mean, layer.moving_variance)}
    variables = [v for v in [*model.variables, *model.optimizer.variables] if id(v) not in statistics]
    attributes = [
        sorted((name, str(value)) for name, value in vars(layer).items() if name in ("call", "momentum", "renorm"))
        for layer in normalizations(model)
    ]
    return values_of(variables), attributes


def same(before, after):
    return same_values(before[0], after[0]) and before[1] == after[1]


@pytest.mark.parametrize("built_on", ["list", "dict"])
def test_statistics_are_the_averages_over_batches_and_calls(built_on):
    model, inputs = network(), data()
    before = everything_else(model)
    x = inputs if built_on == "list" else dict(zip(("left", "right"), inputs, strict=True))
    assert reestimate_statistics(model, x, BATCH) == ("norm", "top")
    assert difference(expected_statistics(model, inputs), statistics_of(model)) < 1e-5
    assert same(before, everything_else(model))


def test_statistics_of_a_training_that_diverged_are_replaced():
    model, inputs = network(), data()
    for layer in normalizations(model):
        layer.moving_variance.assign(np.full(layer.moving_variance.shape, np.nan))
    reestimate_statistics(model, inputs, BATCH)
    assert difference(expected_statistics(model, inputs), statistics_of(model)) < 1e-5


def test_renormalisation_goes_on_from_them():
    model, inputs = network(renorm=True), data()
    reestimate_statistics(model, inputs, BATCH)
    assert difference(expected_statistics(model, inputs), statistics_of(model)) < 1e-5
    for layer in normalizations(model):
        mean, deviation = (
            values_of([layer.moving_mean])[0],
            np.sqrt(values_of([layer.moving_variance])[0] + layer.epsilon),
        )
        own = values_of([layer.renorm_mean, layer.renorm_stddev, layer.moving_stddev])
        assert layer.renorm and difference([mean, deviation, deviation], own) < 1e-6


def test_in_half_precision_they_are_nearly_the_same():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network()
        reestimate_statistics(model, data(), BATCH)
    finally:
        keras.config.set_dtype_policy(policy)
    assert difference(expected_statistics(model, data()), statistics_of(model)) < 0.02


def test_a_layer_that_is_not_trained_keeps_its_own():
    model = network()
    normalizations(model)[0].trainable = False
    before = statistics_of(model)
    assert reestimate_statistics(model, data(), BATCH) == ("top",)
    after = statistics_of(model)
    assert same_values(before[:2], after[:2]) and not np.allclose(before[2], after[2])
    vector = keras.Input((3,))
    assert reestimate_statistics(keras.Model(vector, layers.Dense(2)(vector)), np.ones((4, 3))) == ()


@pytest.mark.parametrize(
    ("x", "batch_size", "message"),
    [
        ([np.ones((3, 6)), np.ones((4, 6))], 2, "`x`.*lengths=.3, 4"),
        ([np.ones((0, 6))] * 2, 2, "`x`.*lengths=.0"),
        ([np.ones((4, 6))] * 2, 0, "`batch_size`.*batch_size=0"),
    ],
)
def test_data_that_cannot_be_cut_into_batches_is_refused(x, batch_size, message):
    with pytest.raises(ValueError, match=message):
        reestimate_statistics(network(), x, batch_size)


def test_a_failure_on_the_way_leaves_everything_as_it_was():
    model = network()
    before, statistics = everything_else(model), statistics_of(model)
    model.get_layer("fragile").left = 2
    with pytest.raises(RuntimeError, match="No more"):
        reestimate_statistics(model, data(), BATCH)
    assert same(before, everything_else(model)) and same_values(statistics, statistics_of(model))


def test_between_two_epochs_of_fit():
    """Training goes on, and what was set after the last epoch stays."""
    model, inputs, seen = network(), data(), []

    def reestimate(epoch, logs=None):
        reestimate_statistics(model, inputs, BATCH)
        seen.append(statistics_of(model))

    y = np.stack([x[:, 0] for x in inputs], axis=1)
    callback = keras.callbacks.LambdaCallback(on_epoch_end=reestimate)
    losses = model.fit(inputs, y, batch_size=10, epochs=3, verbose=0, callbacks=[callback]).history["loss"]
    assert same_values(seen[-1], statistics_of(model)) and not np.allclose(seen[0][0], seen[1][0])
    assert difference(expected_statistics(model, inputs), seen[-1]) < 1e-5
    assert int(model.optimizer.iterations) == 6 and len(set(losses)) == 3
    assert np.all(np.isfinite(run_model(model, inputs)[0]))
