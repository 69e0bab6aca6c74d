"""Each criterion against what NumPy makes of the same weights, gradients and activations."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import cgap_keras
from cgap_keras import Criterion, find_groups
from cgap_keras.saliency import CRITERIA, GradientObserver, apoz, score_weights
from cgap_keras.saliency.criteria import get
from cgap_keras.structure import find_variables
from cgap_keras.surgery.live import push_state
from tests.graphs import Keep, nested_functional, siamese
from tests.models import build, facts_of_groups, facts_of_layers, randomize, same_values, values_of

pytestmark = pytest.mark.usefixtures("quick_weights")


def network():
    """A normalised convolution, a convolution, both behind a sum, and a layer that reads every pixel of it."""
    image = keras.Input((4, 4, 2), name="image")
    x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="conv")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    y = layers.Conv2D(3, 1, activation="relu", name="branch")(image)
    x = layers.Flatten()(layers.MaxPooling2D(2)(layers.Add()([x, y])))
    x = layers.Dense(5, activation="leaky_relu", name="hidden")(x)
    model = keras.Model(image, layers.Dense(2, name="out")(x))
    randomize(model)
    return model


def examples(count=6, *shape):
    return np.random.default_rng(1).normal(size=(count, *(shape or (4, 4, 2)))).astype("float32")


def weights(model):
    return {path: keras.ops.convert_to_numpy(v.value) for path, v in find_variables(model).items()}


def columns(kernel):
    return kernel.reshape(-1, kernel.shape[-1]).astype(float)


def distances(kernel):
    """All distances between the columns of a kernel, added up for each."""
    k = columns(kernel)
    return np.array([sum(np.linalg.norm(k[:, i] - k[:, j]) for j in range(k.shape[1])) for i in range(k.shape[1])])


BY_HAND = {
    "l1": lambda kernel: np.abs(columns(kernel)).sum(axis=0),
    "l2": lambda kernel: np.square(columns(kernel)).sum(axis=0),
    "fpgm": distances,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_criteria_of_kernels(name):
    model = network()
    scores, w, by_hand = score_weights(model, find_groups(model), name), weights(model), BY_HAND[name]
    assert np.allclose(scores["conv"], by_hand(w["conv/kernel"]) + by_hand(w["branch/kernel"]), rtol=1e-5)
    assert np.allclose(scores["hidden"], by_hand(w["hidden/kernel"]), rtol=1e-5)


def test_the_scale_of_a_normalisation():
    model = build("chain")
    model.get_layer("bn_a").gamma.assign([0.5, -2.0, 0.0, 1.0])
    conv_a = [group for group in find_groups(model) if group.name == "conv_a"]
    assert score_weights(model, conv_a, "bn_scale")["conv_a"].tolist() == [0.5, 2.0, 0.0, 1.0]
    with pytest.raises(ValueError, match="'bn_scale' requires a batch normalisation with a scale.*none: conv_b. "):
        score_weights(model, find_groups(model), "bn_scale")


def test_random_draws_a_number_a_unit():
    model = network()
    first, again, other = (score_weights(model, find_groups(model), "random", seed=seed) for seed in (3, 3, 4))
    drawn = np.concatenate(list(first.values()))
    assert len(set(drawn.tolist())) == len(drawn) == 10 and 0 <= drawn.min() <= drawn.max() < 1
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)


class Listen(keras.callbacks.Callback):
    """The observers' sums over a training that leaves the weights as they are."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def on_train_begin(self, logs=None):
        self.observer = GradientObserver(self.model, find_groups(self.model), CRITERIA[self.name])
        self.observer.attach()
        push_state(self.model)

    def on_train_end(self, logs=None):
        self.scores = self.observer.scores()
        self.observer.detach()


def listen(model, name, x, y, batch_size):
    model.compile(keras.optimizers.SGD(0.0), loss="mse", run_eagerly=keras.backend.backend() == "tensorflow")
    listening = Listen(name)
    model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=[listening])
    return listening.scores


def test_gradmax_tells_what_a_copy_with_outgoing_zeros_would_receive():
    model = network()
    x, y = examples(6), examples(6, 2)
    scores = listen(model, "gradmax", x, y, batch_size=6)
    names = [group.name for group in find_groups(model) if not group.frozen]
    plan = {name: [*range(len(scores[name])), *range(len(scores[name]))] for name in names}
    cgap_keras.apply(model, plan, new_units="zero")
    # The same loss, and the new half of each group has the gradients that the old half had before.
    grown = listen(model, "gradmax", x, y, batch_size=6)
    for name in ("conv", "hidden"):
        assert name in names and np.allclose(grown[name][len(scores[name]) :], scores[name], rtol=1e-4)
        assert scores[name].max() > 1.01 * scores[name].min() > 0


class Scaled(layers.Layer):
    """Multiplies each channel by a weight of 1, whose gradient is the sum of `a * dL/da` over all that it meets."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")

    def call(self, inputs):
        return inputs * self.factor


def twins(normalized):
    """A network, and its twin with the activations of its layers scaled."""

    def make(scaled):
        image = keras.Input((4, 4, 2), name="image")
        x = layers.Conv2D(3, 3, use_bias=not normalized, name="conv")(image)
        x = layers.BatchNormalization(epsilon=1e-9, name="norm")(x) if normalized else x
        x = scaled(layers.ReLU()(x))
        x = layers.DepthwiseConv2D(2, depth_multiplier=2, activation="leaky_relu", name="depthwise")(x)
        x = layers.Flatten()(scaled(x))
        x = scaled(layers.Dense(5, activation="relu", name="hidden")(x))
        return keras.Model(image, layers.Dense(2, name="out")(x))

    model, factors = make(lambda x: x), []

    def scaled(x):
        factors.append(Scaled())
        return factors[-1](x)

    twin = make(scaled)
    randomize(model)
    for variable in model.weights:
        # A copy: a step of JAX's frees the array that it replaces.
        next(v for v in twin.weights if v.path == variable.path).assign(values_of([variable])[0])
    return model, twin, [layer.factor for layer in factors]


def gradients_of_factors(twin, factors, x, y):
    """The gradients of one step of gradient descent on a batch, whose rate is 1."""
    twin.compile(keras.optimizers.SGD(1.0), loss="mse", run_eagerly=keras.backend.backend() == "tensorflow")
    twin.fit(x, y, batch_size=len(x), verbose=0)
    return [1.0 - value.astype(float) for value in values_of(factors)]


@pytest.mark.parametrize("normalized", [False, True])
def test_taylor_on_activations_is_that_of_the_activations(normalized):
    """The gradient of a factor of 1 that an activation `a` is multiplied by is `sum a * dL/da`."""
    model, twin, factors = twins(normalized)
    x, y = examples(), examples(6, 2)
    conv, dw, hidden = gradients_of_factors(twin, factors, x, y)
    scores = listen(model, "taylor_activation", x, y, batch_size=6)
    depthwise = np.abs(dw.reshape(3, 2).sum(axis=1))
    assert np.allclose(scores["conv"], np.abs(conv) + depthwise, rtol=1e-3, atol=1e-6)
    assert np.allclose(scores["hidden"], np.abs(hidden), rtol=1e-4, atol=1e-7)


def test_sums_over_the_batches_of_training():
    """Two layers without a bias on two batches, by hand."""
    vector = keras.Input((3,), name="vector")
    x = layers.Dense(4, use_bias=False, name="hidden")(vector)
    model = keras.Model(vector, layers.Dense(2, use_bias=False, name="out")(x))
    (w, v), x, y = values_of(model.weights), examples(8, 3), examples(8, 2)
    changes = []
    for part in (slice(0, 4), slice(4, 8)):
        error = 2 * (x[part] @ w @ v - y[part]) / 8
        changes.append(w * (x[part].T @ error @ v.T))
    expected = {
        "taylor": sum(np.abs(change).sum(axis=0) for change in changes),
        "taylor_activation": sum(np.abs(change.sum(axis=0)) for change in changes),
        "fisher": sum(change.sum(axis=0) ** 2 for change in changes),
    }
    for name, values in expected.items():
        assert np.allclose(listen(model, name, x, y, batch_size=4)["hidden"], values, rtol=1e-4)


def share(activations):
    """The share of what is not zero, over all axes but the last."""
    return (activations != 0).reshape(-1, activations.shape[-1]).mean(axis=0)


def outputs_of(model, names, x):
    """What some layers of the model itself return."""
    tensors = [model.get_layer(name).output for name in names]
    return [keras.ops.convert_to_numpy(a) for a in keras.Model(model.inputs, tensors)(x, training=False)]


def test_apoz_looks_at_what_the_next_layers_read():
    model, x = network(), examples(5)
    scores = score_weights(model, find_groups(model), apoz(x, batch_size=2))
    pooled, hidden = outputs_of(model, [model.layers[-3].name, "hidden"], x)
    assert model.layers[-3].name.startswith("flatten") and 0.1 < share(pooled).mean() < 1
    assert np.allclose(scores["conv"], share(pooled).reshape(4, 3).sum(axis=0), rtol=1e-5)
    assert scores["hidden"].tolist() == [1.0] * 5 == share(hidden).tolist()


def test_apoz_in_a_nested_model_that_is_called_twice():
    model, x = nested_functional(Keep()), examples(4, 5, 6, 2)
    randomize(model)
    scores = score_weights(model, find_groups(model), apoz(x, batch_size=4))
    outer, block = model.get_layer("outer"), model.get_layer("block")
    once = outer(x)
    twice = block(once)
    inner = [share(ops.convert_to_numpy(block.get_layer("inner_a")(x))) for x in (once, twice)]
    assert np.allclose(scores["block/inner_a"], sum(inner), rtol=1e-5)
    pooled = ops.convert_to_numpy(ops.mean(block(twice), axis=(1, 2)))
    seen = [share(ops.convert_to_numpy(x)) for x in (once, twice)]
    assert np.allclose(scores["outer"], sum(seen) + share(pooled), rtol=1e-5)


def test_apoz_in_a_layer_that_is_shared():
    model = siamese(Keep())
    randomize(model)
    left, right = examples(4, 5, 6, 2), -examples(4, 5, 6, 2)
    first = [ops.convert_to_numpy(model.get_layer("first")(x)) for x in (left, right)]
    for data in ([left, right], {"right": right, "left": left}):
        scores = score_weights(model, find_groups(model), apoz(data))
        assert np.allclose(scores["first"], sum(share(x) for x in first), rtol=1e-5)


def dropping():
    """A model whose state changes even in inference: a dropout that never stops, and a penalty on activations."""
    vector = keras.Input((3,))
    x = layers.Dense(4, activation="relu", activity_regularizer="l2", name="hidden")(vector)
    x = layers.Dropout(0.5, seed=1)(layers.BatchNormalization()(x), training=True)
    return keras.Model(vector, layers.Dense(2, name="out")(x))


@pytest.mark.parametrize("fails", [False, True])
def test_apoz_leaves_the_model_as_it_was(fails):
    model, x = dropping(), examples(4, 3)
    model.compile("adam", loss="mse")
    model.optimizer.build(model.trainable_variables)

    def facts():
        return facts_of_layers(model), facts_of_groups(model), len(model.losses)

    def state():
        return values_of([*model.variables, *model.optimizer.variables, *model.non_trainable_variables])

    before = facts(), state()
    if fails:
        broken = Criterion("broken", lambda slices: slices.activations, needs="activations", data=x)
        with pytest.raises(ValueError, match=r"one number for each position, of shape \(4,\) for 'out'.*shape="):
            score_weights(model, find_groups(model), broken)
    else:
        score_weights(model, find_groups(model), apoz(x))
    assert facts() == before[0] and same_values(state(), before[1])


def test_what_apoz_cannot_look_at_is_refused():
    model = network()
    for data in (examples(4, 4, 4, 2)[:0], [examples(), examples()], {"picture": examples()}):
        with pytest.raises(ValueError, match=r"`data` must hold an array for each of the model's inputs \['image'\]"):
            score_weights(model, find_groups(model), apoz(data))
    left, right = (keras.Input((3,), name=name) for name in ("left", "right"))
    shared = layers.Dense(4, activation="relu", name="shared")
    model = keras.Model([left, right], layers.Dot(-1)([shared(left), shared(right)]))
    with pytest.raises(ValueError, match="'apoz' requires a layer with weights that reads the units.*none: shared"):
        score_weights(model, find_groups(model), apoz([examples(4, 3)] * 2))


def test_a_bias_with_several_places_for_a_unit_stands_with_its_kernel():
    model = build("depthwise")
    shapes = {}

    def look(slices):
        shapes[slices.layer] = {name: tuple(x.shape) for name, x in slices.weights.items()}
        return next(iter(slices.weights.values())).sum(axis=0)

    score_weights(model, find_groups(model), Criterion("look", look))
    assert shapes["dw_a"] == {"kernel": (18, 3), "bias": (2, 3)}
    assert shapes["conv_a"] == {"kernel": (18, 3), "bias": (1, 3)}


def test_criteria_by_name():
    own = Criterion("own", lambda slices: None)
    assert get("l1") is CRITERIA["l1"] and get(own) is own
    with pytest.raises(ValueError, match="taylor, .*, random.*apoz.*criterion='l3'"):
        get("l3")
    model = build("chain")
    with pytest.raises(ValueError, match="needs the gradients.*criterion='taylor'"):
        score_weights(model, find_groups(model), "taylor")
    with pytest.raises(ValueError, match="'own' requires weights that make the units.*none: conv_a, conv_b"):
        score_weights(model, find_groups(model), own)


def test_own_criteria_are_registered(monkeypatch):
    monkeypatch.setattr("cgap_keras.saliency.criteria.CRITERIA", dict(CRITERIA))
    own = Criterion("own", lambda slices: abs(slices.kernels[0]).max(axis=0) if slices.kernels else None)
    assert cgap_keras.register_criterion(own) is own and get("own") is own
    model = build("chain")
    largest = np.abs(weights(model)["conv_a/kernel"]).max(axis=(0, 1, 2))
    assert np.allclose(score_weights(model, find_groups(model), "own")["conv_a"], largest)
    with pytest.raises(ValueError, match="built-in.*name='taylor'"):
        cgap_keras.register_criterion(Criterion("taylor", own.function))
    with pytest.raises(TypeError, match="Criterion.*criterion='own'"):
        cgap_keras.register_criterion("own")


@pytest.mark.parametrize("options", [{"needs": "luck"}, {"needs": "activations"}, {"data": np.ones(3)}])
def test_criteria_that_cannot_be(options):
    with pytest.raises(ValueError, match="Received: needs="):
        Criterion("own", lambda slices: None, **options)


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (
            Criterion("scales", lambda slices: slices.gradients.get("gamma"), "gradients", "a scale"),
            "(?s)'scales'.*shape",
        ),
        (Criterion("none", lambda slices: None, "gradients", "a scale"), "'none' requires a scale.*none: conv, hidden"),
        ("bn_scale", "'bn_scale' requires a batch normalisation.*none: hidden. .*such as 'taylor'"),
    ],
)
def test_a_criterion_that_sees_nothing_is_refused_before_training(criterion, message):
    model = network()
    model.compile("sgd", loss="mse")
    before = values_of(model.variables)
    with pytest.raises(ValueError, match=message):
        cgap = cgap_keras.CGaP(900, 100, criterion=criterion)
        model.fit(examples(), examples(6, 2), verbose=0, callbacks=[cgap])
    assert all(np.array_equal(a, b) for a, b in zip(before, values_of(model.variables), strict=True))
