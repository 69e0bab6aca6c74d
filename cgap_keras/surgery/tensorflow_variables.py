"""Reading and making TensorFlow's variables at the cost of their operations. Imported on the TensorFlow backend alone.

A `tf.Variable` is a handle and a value that is assigned to it. Its constructor takes six times as long as these two
operations, which for a network of hundreds of small weights was half of an edit: it asks variable creators, strategies,
scopes and devices for what, here, the variable before the edit tells. So a variable of another shape is made beside
that one, of the same two operations and its options, as TensorFlow itself does where it loads a saved model. The names
used for it are TensorFlow's own, not public; `tests/surgery/test_tensorflow_variables.py` compares what comes out with
what the constructor makes. Where a variable is of another class (a strategy's, one on several devices) or a graph is
being built, there is no short way, and the constructor is asked.
"""

import functools
import weakref

from tensorflow.python.eager import context
from tensorflow.python.framework import ops
from tensorflow.python.ops import gen_resource_variable_ops as operations
from tensorflow.python.ops import handle_data_util
from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable, ResourceVariable


def read_variable(variable):
    """The value of a `tf.Variable`, a tensor that shares its memory."""
    if not _is_plain(variable):
        return variable.value()
    return operations.read_variable_op(variable.handle, variable.dtype)


def new_variable(old, value):
    """A new `tf.Variable` with the name, the device and the options of an old one, which stays as it is.

    Args:
        old: A `tf.Variable`.
        value: A tensor of its dtype, of any shape.

    Returns:
        The new variable; `None` if only TensorFlow's own constructor can make it.
    """
    if not _is_plain(old):
        return None
    new, name = ResourceVariable.__new__(ResourceVariable), old.name.removesuffix(":0")
    handle, number = _new_handle(old, value), f"{name}_{ops.uid()}"
    handle._parent_trackable, handle._name, handle._unique_id = weakref.ref(new), old.name, number
    BaseResourceVariable.__init__(
        new,
        trainable=old.trainable,
        shape=value.shape,
        dtype=old.dtype,
        handle=handle,
        constraint=old.constraint,
        synchronization=old.synchronization,
        aggregation=old.aggregation,
        distribute_strategy=old._distribute_strategy,
        unique_id=number,
        handle_name=name,
        in_graph_mode=False,
    )
    return new


def _is_plain(variable):
    """Whether a variable is no more than a handle: not of a strategy, without a cached value, and outside of graphs."""
    is_alone = type(variable) is ResourceVariable and variable._caching_device is None
    return is_alone and not variable._in_graph_mode and context.executing_eagerly()


def _new_handle(old, value):
    """The handle of a resource that holds the value, beside that of an old variable; the resource goes with it."""
    # Without the name, which is for messages alone: TensorFlow would make a kernel for each, and keep it.
    make = functools.partial(operations.var_handle_op, old.dtype, value.shape, shared_name=context.anonymous_name())
    handle = make()
    if handle.device != old.device:
        with ops.device(old.device):
            handle = make()
    operations.assign_variable_op(handle, value)
    handle._handle_data = _handle_data(value.shape, old.dtype)
    return handle


# A network has few shapes, and none of these is ever changed.
@functools.lru_cache(256)
def _handle_data(shape, dtype):
    """What a graph that captures a handle is told about the value behind it."""
    return handle_data_util.create_handle_data(shape, dtype)
