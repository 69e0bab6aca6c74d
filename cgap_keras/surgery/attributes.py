"""What a model holds besides its graph, in values that JSON can hold.

The constructor of a model class may set numbers, options, layers and tensors of the graph as attributes, and the
methods of the class count on them. Here they are told by value and by name, so that another model of the same graph can
be given the same ones.
"""

import functools

import keras

from cgap_keras.structure.graph import as_functional, ordered_nodes

PLAIN = (bool, int, float, str, type(None))
_COLLECTIONS = {"list": list, "tuple": tuple, "set": set}
# What `compile`, `fit`, callbacks and the backends set on a model.
_TRAINING = frozenset(
    "optimizer history stop_training stop_evaluating stop_predicting _compile_config _compiled_trainable_state "
    "_eval_epoch_iterator _jax_state _jax_state_synced _torch_params".split()
)


class NotPlainError(TypeError):
    """An attribute is neither plain nor a part of the model's graph; the message is its type."""


def describe_attributes(model):
    """The attributes of a model that Keras does not give to every model.

    Args:
        model: A built functional or Sequential model.

    Returns:
        A dictionary `{name: value}` in which layers and tensors of the graph stand by name.

    Raises:
        NotPlainError: If an attribute cannot be told so.
    """
    names = {id(part): reference for reference, part in _parts(model)}
    known = _attributes_of_every_model()
    return {name: _encode(value, names) for name, value in _attributes(model).items() if name not in known}


def set_attributes(model, attributes):
    """Sets what `describe_attributes` told on a model of the same graph."""
    parts = dict(_parts(model))
    for name, value in attributes.items():
        setattr(model, name, _decode(value, parts))


def _attributes(model):
    # PyTorch's modules keep layers apart from other attributes.
    return {**vars(model), **vars(model).get("_modules", {})}


def _parts(model):
    """`(reference, part)` pairs: a layer by its name, a tensor also by which call of the layer it comes from."""
    calls = {}
    for node in ordered_nodes(as_functional(model)):
        name = node.operation.name
        calls[name] = calls.get(name, -1) + 1
        for i, tensor in enumerate(node.outputs):
            yield (name, calls[name], i), tensor
    for layer in model.layers:
        yield (layer.name,), layer


def _encode(value, names):
    if id(value) in names:
        return {"part": list(names[id(value)])}
    for kind, collection in _COLLECTIONS.items():
        if isinstance(value, collection):
            return {kind: [_encode(item, names) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(item, names) for key, item in value.items()}}
    if isinstance(value, PLAIN):
        return value
    raise NotPlainError(type(value).__name__)


def _decode(value, parts):
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "part":
        return parts[tuple(content)]
    if kind == "dict":
        return {key: _decode(item, parts) for key, item in content.items()}
    return _COLLECTIONS[kind](_decode(item, parts) for item in content)


@functools.cache
def _attributes_of_every_model():
    tensor = keras.Input((1,))
    made = keras.Model(tensor, tensor), keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    return _TRAINING.union(*map(_attributes, made))
