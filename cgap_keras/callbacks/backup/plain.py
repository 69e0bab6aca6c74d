"""Plain values as JSON and arrays: what of a training's state goes into a file.

Plain are `None`, booleans, numbers, text, NumPy arrays, the functions of `keras.ops`, and lists, tuples, sets and
dictionaries of plain values, of exactly these types: of a subclass nobody knows what else it holds.
"""

import hashlib

import keras
import numpy as np

_COLLECTIONS = {"list": list, "tuple": tuple, "set": set}
_SIMPLE = (type(None), bool, int, float, str)


class NotPlainError(TypeError):
    """A value is not plain."""

    def __init__(self, name):
        super().__init__(
            "A state may hold None, booleans, numbers, text, NumPy arrays of numbers, functions of keras.ops, and "
            f"lists, tuples, sets and dictionaries of these. Received: a value of type {name}"
        )


def encode(value, keep):
    """A plain value as what JSON can hold.

    Args:
        value: A plain value.
        keep: A function that takes an array and returns what JSON is to hold in its place.

    Returns:
        A value for `json.dumps`.

    Raises:
        NotPlainError: If the value is not plain.
    """
    kind = type(value)
    if kind in _SIMPLE:
        return value
    if (kind is np.ndarray or isinstance(value, np.generic)) and _has_name(value.dtype):
        return {"array" if kind is np.ndarray else "number": keep(np.asarray(value))}
    if kind is dict:
        return {"dict": [[encode(key, keep), encode(item, keep)] for key, item in value.items()]}
    for name, collection in _COLLECTIONS.items():
        if kind is collection:
            return {name: [encode(item, keep) for item in value]}
    if callable(value) and getattr(keras.ops, getattr(value, "__name__", ""), None) is value:
        return {"operation": value.__name__}
    raise NotPlainError(kind.__name__)


def decode(value, take):
    """The value that `encode` told, where `take` returns the array for what `keep` returned."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return take(content)
    if kind == "number":
        return take(content)[()]
    if kind == "operation":
        return getattr(keras.ops, content)
    if kind == "dict":
        return {decode(key, take): decode(item, take) for key, item in content}
    return _COLLECTIONS[kind](decode(item, take) for item in content)


def fingerprint(value):
    """What tells a plain value from others, without a copy of its arrays; `None` if the value is not plain."""
    try:
        return [encode(value, lambda array: [*describe_array(array), hashlib.sha256(bytes_of(array)).hexdigest()])]
    except NotPlainError:
        return None


def describe_array(array):
    """The type and the shape of an array, which `array_from` needs."""
    return [array.dtype.name, list(array.shape)]


def bytes_of(array):
    """The content of an array, as a buffer."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def array_from(buffer, name, shape):
    """The array that `describe_array` and `bytes_of` told."""
    return np.frombuffer(buffer, np.dtype(name)).reshape(shape).copy()


def _has_name(dtype):
    """Whether the name of a type says all of it."""
    try:
        return np.dtype(dtype.name) == dtype and not dtype.hasobject
    except TypeError:
        return False
