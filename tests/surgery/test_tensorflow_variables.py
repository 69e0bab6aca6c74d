"""Variables made without TensorFlow's constructor are as those that it makes, and hold their memory no longer."""

import gc
import weakref

import keras
import numpy as np
import pytest

from cgap_keras import apply, find_groups
from tests.models import randomize

if keras.backend.backend() != "tensorflow":
    pytest.skip("variables of TensorFlow's", allow_module_level=True)

import tensorflow as tf

from cgap_keras.surgery import arrays
from cgap_keras.surgery.tensorflow_variables import new_variables, read_variables

# What tells one variable from another.
OWN = {"_handle", "_unique_id", "_cached_shape_as_list"}


def variable(shape=(2, 3), **options):
    return tf.Variable(np.arange(np.prod(shape), dtype="float32").reshape(shape), name="kernel", **options)


def value(shape):
    new = arrays.empty(shape, "float32")
    new[...] = np.arange(new.size).reshape(shape)
    return arrays.to_tensor(new)


def new_variable(old, tensor):
    (new,) = new_variables([(old, tensor)])
    return new


def small_model():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 3, padding="same", name="first")(image)
    x = keras.layers.Conv2D(4, 3, name="second")(keras.layers.ReLU()(keras.layers.BatchNormalization()(x)))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    randomize(model)
    return model


def halve(model):
    apply(model, {group.name: range(0, group.size, 2) for group in find_groups(model) if not group.frozen})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"trainable": False},
        {"aggregation": tf.VariableAggregation.MEAN, "synchronization": tf.VariableSynchronization.ON_WRITE},
        {"constraint": tf.nn.relu},
    ],
    ids=["plain", "statistics", "aggregated", "constrained"],
)
def test_a_new_variable_has_what_the_constructor_gives(options):
    short, long = new_variable(variable(**options), value((4, 5))), variable((4, 5), **options)
    assert vars(short).keys() == vars(long).keys()
    assert all(vars(short)[name] == vars(long)[name] for name in vars(long).keys() - OWN)
    assert vars(short.handle).keys() == vars(long.handle).keys()
    assert short.handle._handle_data == long.handle._handle_data
    assert (short.name, short.device, short.dtype, short.shape) == (long.name, long.device, long.dtype, long.shape)
    assert short.handle._parent_trackable() is short and short._unique_id.startswith("kernel_")
    np.testing.assert_array_equal(short, long)


def test_the_old_variable_and_its_functions_stay():
    old = variable()
    double = tf.function(lambda: 2 * old)
    before = double().numpy()
    new = new_variable(old, value((4, 5)))
    new.assign(tf.zeros_like(new))
    np.testing.assert_array_equal(double(), before)
    assert new._unique_id != old._unique_id


def test_a_new_variable_works_in_functions_gradients_and_checkpoints(tmp_path):
    new = new_variable(variable(), value((4, 5)))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(new**2)
        gradient = tape.gradient(loss, new)
        new.assign_sub(0.5 * gradient)
        return gradient

    assert step().shape == (4, 5)
    np.testing.assert_array_equal(new, np.zeros((4, 5)))
    saved = tf.train.Checkpoint(new=new).save(str(tmp_path / "checkpoint"))
    new.assign(tf.ones_like(new))
    tf.train.Checkpoint(new=new).restore(saved).assert_consumed()
    np.testing.assert_array_equal(new, np.zeros((4, 5)))


def test_a_frozen_variable_is_not_watched():
    new = new_variable(variable(trainable=False), value((4,)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(new * 2)
    assert tape.watched_variables() == () and tape.gradient(loss, new) is None


def test_the_resource_goes_with_the_variable():
    new = new_variable(variable(), value((4, 5)))
    handle, gone = new.handle, weakref.ref(new)
    del new
    assert gone() is None
    copy = tf.identity(handle)
    del handle
    assert tf.raw_ops.VarIsInitializedOp(resource=copy)
    anonymous = weakref.ref(copy)
    del copy
    gc.collect()
    assert anonymous() is None


def test_other_variables_are_left_to_the_constructor():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        mirrored = variable()
    assert type(mirrored).__name__ == "MirroredVariable"
    tensor, plain = value((4, 5)), variable()
    kept, made = new_variables([(mirrored, tensor), (plain, tensor)])
    assert kept is tensor and type(made) is type(plain)
    for read in read_variables([mirrored, plain]):
        np.testing.assert_array_equal(read, np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("count", [1, 32, 70])
def test_variables_are_read_in_their_order_without_a_copy(count):
    variables = [tf.Variable(np.full((i + 1,), i, "float32")) for i in range(count)]
    read = read_variables(variables)
    assert len(read) == count
    for i, (one, tensor) in enumerate(zip(variables, read, strict=True)):
        np.testing.assert_array_equal(tensor, np.full((i + 1,), i))
        assert np.shares_memory(np.asarray(tensor), np.asarray(one.value()))


def test_a_value_is_handed_over_without_a_copy():
    array = arrays.empty((300, 500), "float32")
    array[...] = 1
    new = new_variable(variable(), arrays.to_tensor(array))
    assert np.shares_memory(np.asarray(new.value()), array)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "bool"])
def test_values_of_every_type_are_handed_over(dtype):
    array = arrays.empty((3, 4), tf.as_dtype(dtype).as_numpy_dtype)
    array[...] = np.arange(12).reshape(3, 4) % 2
    tensor = arrays.to_tensor(array)
    assert tensor.dtype.name == dtype
    np.testing.assert_array_equal(tf.cast(tensor, "int32"), np.arange(12).reshape(3, 4) % 2)


def test_an_edited_model_is_exported_and_trained(tmp_path):
    model, images = small_model(), np.ones((4, 8, 8, 3), "float32")
    halve(model)
    model.compile("sgd", "mse")
    model.fit(images, np.zeros((4, 2)), verbose=0)
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(served.serve(images), model.predict(images, verbose=0), atol=1e-6)


def test_memory_does_not_grow_with_edits():
    model = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(1000, name="wide"), keras.layers.Dense(1)])
    order = list(range(1000))[::-1]
    apply(model, {"wide": order})
    before = _memory()
    for _ in range(50):
        apply(model, {"wide": order})
    # Each edit makes a matrix of 4 MB.
    assert _memory() - before < 40e6


def _memory():
    gc.collect()
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmRSS"))
    return 1024 * int(line.split()[1])
