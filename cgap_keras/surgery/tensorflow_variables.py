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

from tensorflow.python.eager import context, execute
from tensorflow.python.framework import ops
from tensorflow.python.framework.tensor_shape import TensorShape
from tensorflow.python.ops import gen_resource_variable_ops as operations
from tensorflow.python.ops import handle_data_util
from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable, ResourceVariable

# One operation that reads many takes a quarter of the time of one for each, once there is a kernel for that number.
_READ_AT_ONCE = 32


def read_variables(variables):
    """The values of some `tf.Variable`s, tensors that share their memory."""
    kinds = {(variable.dtype, variable.device) for variable in variables}
    if len(kinds) > 1 or not all(map(_is_plain, variables)):
        return [variable.value() for variable in variables]
    values, rest = [], len(variables) % _READ_AT_ONCE
    for start in range(0, len(variables) - rest, _READ_AT_ONCE):
        values += _read_at_once(variables[start : start + _READ_AT_ONCE])
    return values + [operations.read_variable_op(x.handle, x.dtype) for x in variables[len(values) :]]


def _read_at_once(variables):
    """The values of as many variables as one operation reads; of another number TensorFlow would make a kernel anew."""
    attributes = ("N", len(variables), "dtypes", [variable.dtype.as_datatype_enum for variable in variables])
    return _execute(b"_ReadVariablesOp", len(variables), [variable.handle for variable in variables], attributes)


def _execute(operation, outputs, inputs, attributes):
    """Runs an operation: its own Python function does more, and takes a fourth longer for the smallest of them."""
    return execute.execute(operation, outputs, inputs, attributes, context.context())


def new_variables(pairs):
    """New `tf.Variable`s with the names, the devices and the options of old ones, which stay as they are.

    Args:
        pairs: `(tf.Variable, value)` pairs, each value a tensor of its dtype, of any shape.

    Returns:
        A list of the new variables, with the value itself where only TensorFlow's own constructor can make one.
    """
    # All handles, then all assignments: an operation takes half of the time right behind one like it.
    handles = [_new_handle(old, value) if _is_plain(old) else None for old, value in pairs]
    for handle, (_, value) in zip(handles, pairs, strict=True):
        if handle is not None:
            _execute(b"AssignVariableOp", 0, [handle, value], ("dtype", value.dtype.as_datatype_enum))
    made = zip(pairs, handles, strict=True)
    return [value if handle is None else _around(handle, old, value) for (old, value), handle in made]


def _around(handle, old, value):
    """The variable of a handle."""
    new, name = ResourceVariable.__new__(ResourceVariable), old.name.removesuffix(":0")
    number = f"{name}_{ops.uid()}"
    shape, handle._handle_data = _statics(value._shape_tuple(), old.dtype)
    handle._parent_trackable, handle._name, handle._unique_id = weakref.ref(new), old.name, number
    BaseResourceVariable.__init__(
        new,
        trainable=old.trainable,
        shape=shape,
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
    """The handle of a resource for a value, beside that of an old variable; the resource goes with it."""
    # Without the name, which is for messages alone: TensorFlow would make a kernel for each, and keep it.
    name, dtype = context.anonymous_name(), old.dtype.as_datatype_enum
    attributes = ("shared_name", name, "dtype", dtype, "shape", value._shape_tuple())
    (handle,) = _execute(b"VarHandleOp", 1, [], attributes)
    if handle.device != old.device:
        with ops.device(old.device):
            (handle,) = _execute(b"VarHandleOp", 1, [], attributes)
    return handle


# A network has few shapes, and none of these is ever changed.
@functools.lru_cache(256)
def _statics(shape, dtype):
    """A shape as TensorFlow has it, and what a graph that captures a handle is told about the value behind it."""
    shape = TensorShape(shape)
    return shape, handle_data_util.create_handle_data(shape, dtype)
