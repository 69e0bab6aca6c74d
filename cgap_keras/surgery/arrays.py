"""Values on their way from a variable to NumPy and back, without a copy wherever the backend lets them share memory."""

import math

import keras
import numpy as np

# TensorFlow's kernels read whole vectors of the processor, and take over no memory that begins elsewhere.
_ALIGNMENT = 64


def empty(shape, dtype):
    """An array without values whose memory a tensor of any backend can take over."""
    dtype, size = np.dtype(dtype), math.prod(shape)
    memory = np.empty(size * dtype.itemsize + _ALIGNMENT, np.uint8)
    start = -_address(memory) % _ALIGNMENT
    return memory[start : start + size * dtype.itemsize].view(dtype).reshape(shape)


def to_arrays(variables):
    """The values of variables as arrays to read from. Keras would copy them on TensorFlow and on PyTorch."""
    if keras.backend.backend() != "tensorflow":
        return [_to_array(variable) for variable in variables]
    from cgap_keras.surgery.tensorflow_variables import read_variables

    return [np.asarray(value) for value in read_variables([variable._value for variable in variables])]


def _to_array(variable):
    value = variable._value
    # NumPy itself has no bfloat16.
    if keras.backend.backend() == "torch" and value.device.type == "cpu" and hasattr(np, variable._dtype):
        return value.detach().numpy()
    return np.asarray(variable)


def shape_of_tensor(value):
    """The shape of a tensor, a tuple. TensorFlow makes an object of its own for it, which is slow to compare."""
    return value._shape_tuple() if keras.backend.backend() == "tensorflow" else tuple(value.shape)


def to_tensor(value):
    """An array as a tensor of the backend, to which the caller leaves it: where it can, it lies in the same memory."""
    backend = keras.backend.backend()
    if backend == "torch" and value.dtype.kind in "bif":
        import torch

        return torch.from_numpy(value)
    if backend == "tensorflow" and value.flags.carray and _address(value) % _ALIGNMENT == 0:
        return _shared_with_tensorflow(value)
    return keras.ops.convert_to_tensor(value)


def _shared_with_tensorflow(value):
    import tensorflow as tf

    if value.dtype.kind != "V":
        return tf.experimental.dlpack.from_dlpack(value.__dlpack__())
    # A type that NumPy does not know by itself, such as bfloat16.
    bits = value.view(f"u{value.dtype.itemsize}")
    return tf.bitcast(tf.experimental.dlpack.from_dlpack(bits.__dlpack__()), value.dtype.name)


def _address(array):
    return array.__array_interface__["data"][0]
