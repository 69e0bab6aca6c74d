"""A faithful copy of a Keras 3 model in tf_keras, the Keras that tensorflow-model-optimization works on.

Runs in the child process alone: `TF_USE_LEGACY_KERAS=1` has to be set before TensorFlow is imported.
"""

import inspect

import numpy as np
import tf_keras
from keras import tree

from cgap_keras.structure.graph import Edge, as_functional, trace

# As far as equal outputs can be asked: float32 rounds sums differently in another order. Right copies of deep networks
# with random weights were off by 1e-6 mostly and by 1.2e-5 once; a wrong one is off by a share that anybody can see.
TOLERANCE = 1e-4
# What makes no difference there: all is float32, on one device.
_WITHOUT_MEANING = ("dtype", "synchronized")
# What has another name there.
_RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}


def copy_model(model):
    """Builds a model of tf_keras that computes what a Keras 3 model computes.

    Args:
        model: A functional or Sequential Keras 3 model.

    Returns:
        A functional tf_keras model with the same weights, and a list of the names there of the layers that hold
        weights, in the order of their first calls.

    Raises:
        ValueError: If a layer has no counterpart in tf_keras; names it.
    """
    graph = trace(model)
    tensors, layers = {}, {}
    for edge in graph.inputs:
        tensors[edge.key] = tf_keras.Input(edge.shape[1:], dtype=edge.dtype)
    inputs = [tensors[edge.key] for edge in graph.inputs]
    for call in graph.calls:
        layer = layers.get(id(call.operation))
        if layer is None:
            layer = layers[id(call.operation)] = _copy_layer(call, taken={x.name for x in layers.values()})
        args, kwargs = _fill_in((call.args, _known(call.kwargs, layer)), tensors)
        outputs = tree.flatten(layer(*args, **kwargs))
        tensors.update(zip((edge.key for edge in call.outputs), outputs, strict=True))
        _copy_weights(call, layer)
    holders = {id(call.operation): layers[id(call.operation)].name for call in graph.calls if call.weights}
    twin = tf_keras.Model(inputs, [tensors[edge.key] for edge in graph.outputs], name=model.name)
    return twin, list(holders.values())


def check_equal(model, twin, samples):
    """Proves that a copy answers as its original does.

    Args:
        model: The Keras 3 model.
        twin: Its copy.
        samples: A list of arrays of samples, one for each input.

    Raises:
        ValueError: If the answers differ by more than rounding.
    """
    expected = [np.asarray(y) for y in tree.flatten(as_functional(model)(_structured(model, samples), training=False))]
    actual = [np.asarray(y) for y in tree.flatten(twin(samples, training=False))]
    for one, other in zip(expected, actual, strict=True):
        error = np.abs(one - other).max() / max(np.ptp(one), np.abs(one).max(), 1e-30)
        if not error <= TOLERANCE:
            raise ValueError(
                f"The copy of the model in tf_keras answers otherwise, by {error:.3g} of the range. "
                f"Received: model={model.name!r}"
            )


def _structured(model, samples):
    return tree.pack_sequence_as(as_functional(model).input, samples)


def _copy_layer(call, taken):
    kind = type(call.operation)
    counterpart = getattr(tf_keras.layers, kind.__name__, None)
    # An operation of `keras.ops` may have the name of a layer, and mean something else.
    if not kind.__module__.startswith("keras.src.layers.") or counterpart is None:
        raise ValueError(
            f"The layer {call.path!r} has no counterpart in tf_keras, which tensorflow-model-optimization works on. "
            f"Received: {kind.__module__}.{kind.__name__}"
        )
    config = {**_translate(call.operation.get_config(), counterpart, call), "name": _unique(call.path, taken)}
    return counterpart.from_config(config)


def _translate(config, counterpart, call):
    """A configuration in the words of tf_keras; what it does not know must not have said anything."""
    # Weights are copied, so how they began does not matter.
    config = {
        _RENAMED.get((counterpart.__name__, key), key): value
        for key, value in config.items()
        if not key.endswith("_initializer")
    }
    accepted = _parameters(counterpart)
    left_out = {key: value for key, value in config.items() if key not in accepted and key not in _WITHOUT_MEANING}
    unknown = {key: value for key, value in left_out.items() if value not in (None, False)}
    if unknown:
        raise ValueError(
            f"The layer {call.path!r} has options that tf_keras does not know. Received: {unknown} of a "
            f"{counterpart.__name__}"
        )
    return {key: _legacy(value) for key, value in config.items() if key in accepted and key not in _WITHOUT_MEANING}


def _parameters(counterpart):
    """The names that the constructors of a class and its bases take."""
    names = set()
    for base in inspect.getmro(counterpart):
        if "__init__" in vars(base):
            names |= set(inspect.signature(base.__init__).parameters)
    return names | {"trainable", "name"}


def _legacy(value):
    """A serialized initializer, regularizer or constraint as tf_keras writes one."""
    if isinstance(value, dict) and "class_name" in value:
        return {"class_name": value["class_name"], "config": _legacy(value.get("config") or {})}
    if isinstance(value, dict):
        return {key: _legacy(inner) for key, inner in value.items()}
    return value


def _unique(path, taken):
    name = candidate = path.replace("/", "_")
    count = 0
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    return candidate


def _known(kwargs, layer):
    """The arguments of a call without masks and modes that say nothing."""
    parameters = inspect.signature(layer.call).parameters
    return {key: value for key, value in kwargs.items() if key in parameters or value is not None}


def _fill_in(arguments, tensors):
    return tree.map_structure(lambda x: tensors[x.key] if isinstance(x, Edge) else x, arguments)


def _copy_weights(call, layer):
    values = [np.asarray(weight) for weight in call.weights]
    if [value.shape for value in values] != [tuple(weight.shape) for weight in layer.weights]:
        raise ValueError(
            f"The layer {call.path!r} keeps its weights in another form in tf_keras. Received: shapes "
            f"{[value.shape for value in values]}, there {[tuple(weight.shape) for weight in layer.weights]}"
        )
    layer.set_weights(values)
