"""What a layer's own attributes tell: how it differs from its draft, and which layers can share a draft.

Plain attributes are numbers, strings, shapes, input specifications and what is made of them. Variables, sublayers,
functions and objects stay the layer's own, and so does what Keras keeps about every layer: its place in the graph, how
it was made, what tracks it.
"""

import functools
import types

import keras

from cgap_keras.surgery.attributes import PLAIN

# What a layer holds besides plain values without a size, a shape or a dtype of the layer following from it.
_WITHOUT_SIZE = (
    keras.Variable,
    keras.constraints.Constraint,
    keras.initializers.Initializer,
    keras.random.SeedGenerator,
    keras.regularizers.Regularizer,
)
# What a layer is told by the tensors that reach it.
_SHAPES = ("_input_spec", "_build_shapes_dict")
_CODE = (types.FunctionType, types.BuiltinFunctionType, type)


def differences(layer, draft):
    """The plain attributes in which a layer and its parts differ from its draft, and what both know of shapes.

    Returns:
        A list of `(layer or part, {name: value of the draft})`.
    """
    own, attributes = vars(layer), {}
    for name, value in vars(draft).items():
        known = name in own and name not in bookkeeping() and _is_plain(value)
        if known and (name in _SHAPES or not _are_equal(own[name], value)):
            attributes[name] = value
    if getattr(layer.get_config, "_is_default", False):
        # What a class without a `get_config` of its own is saved by.
        attributes["_auto_config"] = draft._auto_config
    found = [(layer, attributes)] if attributes else []
    for part, new in zip(getattr(layer, "_layers", ()), getattr(draft, "_layers", ()), strict=True):
        found += differences(part, new)
    return found


def fingerprint(layer):
    """What is the same for two layers only if they are alike but for their names, weights and the shapes they saw.

    Returns:
        A tuple that can be a key; `None` for an operation that is no layer, for a layer of several parts, one that is
        saved by the arguments that it was made with, and one that holds an object of which nothing is known.
    """
    if not isinstance(layer, keras.Layer) or layer._layers or getattr(layer.get_config, "_is_default", False):
        return None
    own = vars(layer)
    names = _told(tuple(own))
    values = [own[name] for name in names]
    kinds = tuple(map(type, values))
    for place, tell in _ways_to_tell(kinds):
        values[place] = tell and tell(values[place])
        if values[place] is None:
            return None
    return type(layer), layer.dtype_policy.name, names, kinds, *values


def describe(value):
    """A value, or its shape and dtype for a symbolic tensor, as a key; `None` if it cannot be told."""
    tell = _way_to_tell(type(value))
    return tell and tell(value)


@functools.lru_cache(256)
def _ways_to_tell(kinds):
    """`(place, function)` for those among some values that are not plain: plain ones tell of themselves."""
    return tuple((place, _way_to_tell(kind)) for place, kind in enumerate(kinds) if kind not in PLAIN)


@functools.cache
def _way_to_tell(kind):
    """A function that describes values of a type, or `None`."""
    if kind in PLAIN:
        return repr
    if issubclass(kind, keras.KerasTensor):
        return lambda tensor: (tensor.shape, tensor.dtype, tensor.sparse)
    if issubclass(kind, keras.InputSpec):
        return lambda spec: str(spec.get_config())
    if issubclass(kind, _WITHOUT_SIZE):
        return lambda value: kind.__qualname__
    if issubclass(kind, _CODE):
        return lambda function: str(id(function))
    if issubclass(kind, dict):
        return lambda mapping: describe(tuple(mapping.items()))
    return _describe_all if issubclass(kind, (list, tuple)) else None


def _describe_all(values):
    words = [describe(value) for value in values]
    return None if None in words else (type(values).__name__, *words)


@functools.cache
def bookkeeping():
    """The attributes that a layer without a width has, but for the two that hold shapes."""
    layer = keras.layers.Layer(name="bookkeeping")
    # With a variable: TensorFlow begins to keep book of a layer when it gets the first one.
    layer.variable = layer.add_weight(shape=(), initializer="zeros")
    return frozenset(vars(layer)) - {*_SHAPES, "variable"}


# Layers of one class have the same attributes in the same order.
@functools.lru_cache(256)
def _told(names):
    """Those of some attributes that are a layer's own, and no shape that it saw."""
    untold = bookkeeping().union(_SHAPES)
    return tuple(name for name in names if name not in untold)


def _are_equal(left, right):
    """Whether two plain values are equal in type and content."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_are_equal(left[key], right[key]) for key in left)
    if isinstance(left, keras.InputSpec) and isinstance(right, keras.InputSpec):
        return left.get_config() == right.get_config()
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(_are_equal(a, b) for a, b in zip(left, right, strict=True))
    return type(left) is type(right) and left == right


def _is_plain(value):
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    return isinstance(value, (*PLAIN, keras.InputSpec))
