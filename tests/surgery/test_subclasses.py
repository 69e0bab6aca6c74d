"""Models of a class with a constructor of its own, edited, copied and saved."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

from cgap_keras import apply, rebuild
from tests.models import difference, random_inputs, randomize, run_model, same_values, values_of

PLAN = {"hidden": [3, 2, 1, 0, 0]}


class Tower(keras.Model):
    """Keeps layers and tensors of its graph as attributes, one of them set before the graph is known."""

    def __init__(self, width, flavour="plain", **kwargs):
        out = layers.Dense(2, name="out")
        if keras.backend.backend() != "torch":  # whose modules take no attribute before their constructor has run
            self.out = out
        vector = keras.Input((3,), name="vector")
        hidden = layers.Dense(width, activation="relu", name="hidden")
        x = hidden(vector)
        super().__init__(vector, out(layers.BatchNormalization(name="bn")(x)), **kwargs)
        self.hidden, self.flavour = hidden, flavour
        self.features = {"hidden": x, "sizes": (1, [2, None]), "seen": {4}}

    def get_config(self):
        return {"name": self.name, "width": self.hidden.units, "flavour": self.flavour}

    def describe(self):
        return f"{self.flavour} {self.hidden.units}"

    def hidden_model(self):
        return keras.Model(self.input, self.features["hidden"])


class Stack(keras.Sequential):
    def __init__(self, width):
        hidden = layers.Dense(width, activation="relu", name="hidden")
        super().__init__([keras.Input((3,)), hidden, layers.Dense(2, name="out")], name="stack")

    def describe(self):
        return f"stack {self.layers[0].units}"


class Counting(Tower):
    """Holds what neither a file nor a copy can be given."""

    def __init__(self, width, **kwargs):
        super().__init__(width, **kwargs)
        self.counter = keras.metrics.Mean()


OWN = {kind.__name__: kind for kind in (Tower, Stack, Counting)}


def nested():
    vector = keras.Input((3,), name="vector")
    return keras.Model(vector, layers.Dense(2, name="out")(Tower(4, "mint", name="tower")(vector)), name="around")


def build(make):
    model = make()
    randomize(model)
    inputs = random_inputs(model)
    return model, inputs, run_model(model, inputs)


def save_and_load(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras", custom_objects=OWN)


@pytest.mark.parametrize("make", [lambda: Tower(4), lambda: Stack(4)], ids=["Tower", "Stack"])
@pytest.mark.parametrize("edit", [rebuild, lambda model, plan: apply(model, plan) and model], ids=["copy", "in_place"])
def test_an_edited_model_keeps_its_class_and_methods_in_copies_and_files(make, edit, tmp_path):
    model, inputs, expected = build(make)
    kind, words = type(model), model.describe().split()[0]
    model = edit(model, PLAN)
    for _ in range(2):  # what comes out of a file can be edited and saved again
        assert isinstance(model, kind) and model.describe() == f"{words} 5"
        assert difference(expected, run_model(model, inputs)) < 1e-5
        model = rebuild(save_and_load(model, tmp_path), {"hidden": [4, 3, 2, 1, 0]})


def test_attributes_of_a_copy_are_its_own():
    model, inputs, _ = build(lambda: Tower(4, "mint"))
    new = rebuild(model, PLAN)
    assert new.flavour == "mint" and new.hidden is new.get_layer("hidden") is not model.hidden
    assert new.features["sizes"] == (1, [2, None]) and new.features["seen"] == {4}
    assert new.hidden_model().output_shape == (None, 5) and model.hidden_model().output_shape == (None, 4)
    before, after = run_model(model.hidden_model(), inputs)[0], run_model(new.hidden_model(), inputs)[0]
    assert difference(before[:, PLAN["hidden"]], after) < 1e-6


def test_values_follow_their_layers_whatever_the_order_of_the_model_s_own_list():
    model, _, _ = build(lambda: Tower(4))
    if keras.backend.backend() != "torch":
        assert model.weights[0] is model.get_layer("out").kernel
    new = rebuild(model, {})
    for layer in model.layers:
        assert same_values(values_of(layer.variables), values_of(new.get_layer(layer.name).variables))


def test_a_nested_model_keeps_its_class(tmp_path):
    model, inputs, expected = build(nested)
    plan = {f"tower/{name}": index for name, index in PLAN.items()}
    new = rebuild(model, plan)
    apply(model, plan)
    for edited in (new, model, save_and_load(model, tmp_path), save_and_load(new, tmp_path)):
        assert edited.get_layer("tower").describe() == "mint 5"
        assert difference(expected, run_model(edited, inputs)) < 1e-5


def test_a_model_that_is_not_edited_is_saved_by_its_constructor(tmp_path):
    model, _, _ = build(lambda: Tower(4))
    apply(model, {"hidden": [3, 2, 1, 0]})
    assert type(model) is Tower and type(save_and_load(model, tmp_path)) is Tower


def test_a_failed_edit_leaves_the_class(monkeypatch):
    model, inputs, expected = build(lambda: Tower(4))
    monkeypatch.setattr("cgap_keras.surgery.live.update_torch_parameters", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        apply(model, PLAN)
    assert type(model) is Tower and difference(expected, run_model(model, inputs)) < 1e-6


def test_a_class_whose_attributes_cannot_be_copied_gives_way_with_a_warning(tmp_path):
    model, inputs, expected = build(lambda: Counting(4))
    with pytest.warns(UserWarning, match="Counting: its attributes hold a Mean"):
        new = rebuild(model, PLAN)
    apply(model, PLAN)
    assert isinstance(model, Counting) and not isinstance(new, Counting)
    with pytest.warns(UserWarning, match="without the methods of Counting"):
        loaded = save_and_load(model, tmp_path)
    assert not isinstance(loaded, Counting)
    for edited in (new, model, loaded):
        assert difference(expected, run_model(edited, inputs)) < 1e-5


def test_a_class_that_is_not_registered_is_asked_for(tmp_path):
    model, _, _ = build(lambda: Tower(4))
    apply(model, PLAN)
    model.save(tmp_path / "model.keras")
    with pytest.raises(TypeError, match="hand it over in `custom_objects`"):
        keras.models.load_model(tmp_path / "model.keras")


def test_training_goes_on_and_survives_a_file(tmp_path):
    model, inputs, _ = build(lambda: Tower(4))
    model.compile("sgd", "mse")
    targets = np.ones((len(inputs[0]), 2), "float32")
    model.fit(inputs[0], targets, verbose=0)
    apply(model, PLAN)
    model.fit(inputs[0], targets, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        loaded = save_and_load(model, tmp_path)
    assert loaded.describe() == "plain 5"
    loaded.fit(inputs[0], targets, verbose=0)
