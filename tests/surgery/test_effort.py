"""What an edit must not cost: counts of what is done and of memory, which do not depend on the machine."""

import gc
import pathlib
import sys
import tracemalloc

import keras
import numpy as np
import pytest
from keras import layers

import cgap_keras
from cgap_keras import apply, find_groups, rebuild
from cgap_keras.surgery import drafts
from cgap_keras.surgery.gather import EditedAxis, edit_weights
from tests.models import randomize, same_values, values_of

PACKAGE = str(pathlib.Path(cgap_keras.__file__).parent)


def residual_stack(depth):
    """Blocks of a free layer and one of the stream that they are added to."""
    vector = keras.Input((2,), name="vector")
    x = layers.Dense(4, kernel_initializer="zeros", name="stem")(vector)
    for i in range(depth):
        y = layers.Dense(6, "relu", kernel_initializer="zeros", name=f"inner_{i}")(x)
        x = layers.Add(name=f"add_{i}")([x, layers.Dense(4, kernel_initializer="zeros", name=f"outer_{i}")(y)])
    return keras.Model(vector, layers.Dense(3, kernel_initializer="zeros", name="out")(x))


class Labelled(layers.Dense):
    """A layer with a plain attribute that depends on its name and on its width."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.label = f"{self.name} of {units}"


def count_calls(function):
    """How many functions of the package `function` calls."""
    calls = 0

    def count(frame, event, arg):
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


def halve(model):
    apply(model, {group.name: range(0, group.size, 2) for group in find_groups(model) if not group.frozen})


def test_the_work_for_a_layer_does_not_grow_with_the_depth():
    halve(residual_stack(1))
    models = [residual_stack(depth) for depth in (3, 6, 12)]
    calls = [count_calls(lambda model=model: halve(model)) for model in models]
    assert calls[2] - calls[1] <= 2.02 * (calls[1] - calls[0])


def test_an_edit_makes_each_layer_that_it_touches_anew_once_and_no_other(monkeypatch):
    model, remade, original = residual_stack(3), [], drafts.remake
    monkeypatch.setattr(drafts, "remake", lambda layer, *args: remade.append(layer.name) or original(layer, *args))
    apply(model, {"inner_1": [0, 1, 2]})
    assert sorted(remade) == ["inner_1", "outer_1"]


def test_layers_that_are_alike_but_for_their_name_have_one_draft(monkeypatch):
    model, remade, original = residual_stack(5), [], drafts.remake
    randomize(model)
    monkeypatch.setattr(drafts, "remake", lambda layer, *args: remade.append(layer.name) or original(layer, *args))
    halve(model)
    assert len(remade) == len({"stem", "inner", "outer", "add", "out"})
    loaded = keras.Model.from_config(model.get_config())
    assert [x.name for x in loaded.layers] == [x.name for x in model.layers]
    assert [v.shape for v in loaded.weights] == [v.shape for v in model.weights]


def test_a_layer_that_knows_its_name_has_a_draft_of_its_own():
    model = keras.Sequential([keras.Input((3,)), *(Labelled(4, name=name) for name in "ab"), layers.Dense(2)])
    apply(model, {"a": [0, 1], "b": [2, 1]})
    assert [(x.units, x.label) for x in model.layers[:2]] == [(2, "a of 2"), (2, "b of 2")]


def test_a_rebuilt_model_copies_only_what_the_plan_leaves_and_shares_nothing(monkeypatch):
    model, copied, original = residual_stack(2), [], keras.ops.copy
    randomize(model)
    expected = values_of(model.variables)
    with monkeypatch.context() as patch:
        patch.setattr(keras.ops, "copy", lambda x: copied.append(tuple(x.shape)) or original(x))
        new = rebuild(model, {"inner_1": [0, 1, 2]})
    edited = [variable for variable in model.variables if variable.path.startswith(("inner_1/", "outer_1/kernel"))]
    assert len(copied) == len(model.variables) - len(edited)
    for variable in new.variables:
        variable.assign(variable + 1.0)
    assert same_values(values_of(model.variables), expected)


def test_a_weight_takes_the_memory_of_one_more_copy_while_it_grows():
    value, rng = np.ones((256, 256), "float32"), np.random.default_rng(0)
    positions = np.concatenate([np.arange(256), np.arange(64)])
    new = np.arange(320) >= 256
    edits = EditedAxis(0, positions, scale=np.full(320, 1 / 3)), EditedAxis(1, positions, noisy=new)
    edit_weights(value, edits, 0.1, rng)
    tracemalloc.start()
    result = edit_weights(value, edits, 0.1, rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.shape == (320, 320)
    assert peak < 2 * result.nbytes


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch traces nothing.")
def test_functions_that_were_traced_before_an_edit_are_let_go():
    model = residual_stack(1)
    x, y = np.ones((4, 2), "float32"), np.ones((4, 3), "float32")
    model.compile("adam", "mse")
    objects = []
    for number in range(6):
        group = next(group for group in find_groups(model) if not group.frozen)
        # Grows and shrinks, so that every second structure is the same.
        apply(model, {group.name: [*range(group.size), 0] if number % 2 else range(group.size - 1)})
        model.train_on_batch(x, y)
        gc.collect()
        objects.append(len(gc.get_objects()))
    # One traced step holds more than a thousand objects.
    assert abs(objects[-1] - objects[-3]) < 200


def test_nothing_is_collected_meanwhile_and_the_collector_is_left_as_it_was():
    model, begun, thresholds = residual_stack(2), [], gc.get_threshold()

    def begun_in(function, *args):
        count = len(begun)
        function(*args)
        return len(begun) - count

    # So often that every edit would come to it.
    gc.set_threshold(20)
    gc.callbacks.append(lambda phase, info: begun.append(phase))
    try:
        # What comes between the call and the scope may still be one collection.
        for function, *args in ((find_groups,), (rebuild, {"inner_0": [0, 1]}), (apply, {"inner_0": [0, 1]})):
            assert begun_in(function, model, *args) <= 2 and gc.isenabled()
        assert begun_in(residual_stack, 1) > 2
        with pytest.raises(ValueError, match="inner_9"):
            apply(model, {"inner_9": [0]})
        assert gc.isenabled()
        gc.disable()
        assert find_groups(model) and not gc.isenabled()
    finally:
        gc.enable()
        gc.callbacks.pop()
        gc.set_threshold(*thresholds)
