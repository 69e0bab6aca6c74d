"""The networks of the zoo: published sizes, widths, names, and that they run."""

import keras
import numpy as np
import pytest

from cgap_keras import zoo
from cgap_keras.cost import cost

# Parameters and multiply-accumulates as the pruning literature prints them, for the number of classes given.
PUBLISHED = [
    ("lenet5", 10, 431e3, 2.293e6),
    ("resnet56", 10, 0.853e6, 125.5e6),
    ("resnet110", 10, 1.73e6, 253e6),
    ("vgg16", 10, 14.98e6, 313.7e6),
    ("vgg19", 10, 20.04e6, 398.7e6),
    ("vgg19", 100, 20.08e6, 398.8e6),
]

# What the docstrings say, to the digit.
EXACT = [
    ("digits_cnn", 113_386, 2_398_208),
    ("lenet5", 431_080, 2_293_000),
    ("mnist_cnn", 18_922, 2_181_552),
    ("mobilenet", 543_050, 22_930_432),
    ("resnet20", 272_474, 40_813_184),
    ("vgg11", 9_228_362, 152_769_536),
]


@pytest.mark.parametrize(("name", "num_classes", "params", "macs"), PUBLISHED)
def test_sizes_are_the_published_ones_within_one_percent(quick_weights, name, num_classes, params, macs):
    measured = cost(zoo.get(name)(num_classes=num_classes))
    assert measured.params == pytest.approx(params, rel=0.01)
    assert measured.macs == pytest.approx(macs, rel=0.01)


@pytest.mark.parametrize(("name", "params", "macs"), EXACT)
def test_sizes_are_the_documented_ones(quick_weights, name, params, macs):
    measured = cost(zoo.get(name)())
    assert (measured.params, measured.macs) == (params, macs)


def test_projection_shortcuts_cost_what_the_docstring_says(quick_weights):
    rows = [row for row in cost(zoo.resnet56()).layers if "shortcut" in row.path]
    assert sum(row.params for row in rows) == 2752
    assert sum(row.macs for row in rows) == 2 * 16 * 32 * 16 * 16


@pytest.mark.parametrize("depth", [20, 32, 44])
def test_depth_counts_the_layers_with_weights(quick_weights, depth):
    model = zoo.get(f"resnet{depth}")(width=zoo.SEED_WIDTH)
    weighted = [x for x in model.layers if isinstance(x, (keras.layers.Conv2D, keras.layers.Dense))]
    assert len([x for x in weighted if "shortcut" not in x.name]) == depth


@pytest.mark.parametrize(("name", "depth"), [("vgg11", 11), ("vgg13", 13), ("vgg16", 16), ("vgg19", 19)])
def test_vgg_has_its_convolutions(quick_weights, name, depth):
    model = zoo.get(name)(width=zoo.SEED_WIDTH)
    assert sum(isinstance(x, keras.layers.Conv2D) for x in model.layers) == depth - 3


def test_seed_width_scales_every_layer_but_the_last(quick_weights):
    seed = zoo.lenet5(width=zoo.SEED_WIDTH)
    assert [seed.get_layer(name).filters for name in ("conv1", "conv2")] == [5, 12]
    assert [seed.get_layer(name).units for name in ("dense1", "logits")] == [125, 10]


def test_width_is_never_less_than_one_unit(quick_weights):
    assert zoo.digits_cnn(width=1e-6).get_layer("conv1").filters == 1


@pytest.mark.parametrize("name", ["lenet5", "mobilenet", "resnet20"])
def test_models_return_finite_logits(quick_weights, name):
    model = zoo.get(name)(num_classes=7, width=zoo.SEED_WIDTH)
    images = np.random.default_rng(0).normal(size=(3, *model.input_shape[1:])).astype("float32")
    logits = model.predict_on_batch(images)
    assert logits.shape == (3, 7)
    assert np.isfinite(logits).all()
    assert not np.allclose(logits.sum(axis=1), 1.0)


def test_same_seed_gives_the_same_weights():
    def build():
        keras.utils.set_random_seed(3)
        return zoo.digits_cnn(width=zoo.SEED_WIDTH).get_weights()

    assert all(np.array_equal(x, y) for x, y in zip(build(), build(), strict=True))


def test_names_are_those_of_the_functions_and_of_the_models():
    assert len(set(zoo.names())) == 13
    assert all(zoo.get(name).__name__ == name and getattr(zoo, name) is zoo.get(name) for name in zoo.names())
    assert zoo.digits_cnn(width=zoo.SEED_WIDTH).name == "digits_cnn"
    assert zoo.digits_cnn(width=zoo.SEED_WIDTH, name="mine").name == "mine"


def test_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"`name` must be one of .*resnet20.* Received: name='resnet21'"):
        zoo.get("resnet21")


@pytest.mark.parametrize("width", [0, -1.0, "half", True, None, float("nan")])
def test_width_must_be_a_positive_number(width):
    with pytest.raises(ValueError, match=r"`width` must be a positive number.*Received: width="):
        zoo.resnet20(width=width)


@pytest.mark.parametrize(
    ("name", "input_shape"),
    [("lenet5", (8, 8, 1)), ("vgg16", (28, 28, 1)), ("resnet20", (32, 32)), ("mobilenet", (None, None, 3))],
)
def test_input_that_does_not_fit_is_refused(name, input_shape):
    with pytest.raises(
        ValueError, match=r"`input_shape` of .* must be \(height, width, channels\).*Received: input_shape="
    ):
        zoo.get(name)(input_shape=input_shape)


@pytest.mark.parametrize(
    ("name", "smallest"), [("lenet5", 16), ("mnist_cnn", 22), ("vgg11", 32), ("resnet20", 4), ("mobilenet", 8)]
)
def test_smallest_input_is_large_enough(quick_weights, name, smallest):
    model = zoo.get(name)(input_shape=(smallest, smallest, 1), width=0.1)
    assert model.output_shape == (None, 10)
    assert all(size > 0 for layer in model.layers for size in layer.output.shape[1:])
    with pytest.raises(ValueError, match=f"at least {smallest}"):
        zoo.get(name)(input_shape=(smallest, smallest - 1, 1))
