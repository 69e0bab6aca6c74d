"""Layers made anew from their own configuration, without a value for any weight."""

import contextlib
import functools
import operator
import random

import keras


@contextlib.contextmanager
def building_without_values():
    """A scope in which layers are built but their variables get no values, so that no initializer runs.

    Layers draw a seed when they are made; the state of that generator is restored, so that an edit does not change what
    a seeded program draws afterwards.
    """
    from keras.src.backend.common import global_state

    pending = global_state.get_global_attribute("uninitialized_variables", [], set_to_default=True)
    before, state = len(pending), random.getstate()
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        del pending[before:]
        random.setstate(state)


def remake(operation, sizes=None, kind=None):
    """An operation made anew from its own configuration, with some keys changed.

    Args:
        operation: A `keras.Layer` or another operation.
        sizes: `{path into its configuration: new value}`. Defaults to no change.
        kind: The class to make it of. Defaults to its own.
    """
    if isinstance(operation, keras.layers.Lambda):
        return _remake_lambda(operation)
    if not isinstance(operation, keras.Layer) and not sizes:
        return _copy_operation(operation)
    config = live_config(operation) if isinstance(operation, keras.Layer) else operation.get_config()
    for (*outer, last), value in (sizes or {}).items():
        functools.reduce(operator.getitem, outer, config)[last] = value
    new, known = (kind or type(operation)).from_config(config), operation._auto_config
    if known is not None and new._auto_config is None:
        # Keras saves a class without a `get_config` by the arguments it was made with, if all of them are plain values.
        own = {name: config[name] for name in known.config if (name,) in (sizes or {})}
        vars(new)["_auto_config"] = type(known)(**{**known.config, **own})
    return new


def _remake_lambda(layer):
    """Its `from_config` takes serialised functions alone, and runs them only where told that they are safe."""
    own = (layer.function, layer._output_shape, layer.mask, layer.arguments)
    return type(layer)(*own, **keras.Layer.get_config(layer))


def _copy_operation(operation):
    """An operation without a place in any graph: it has no state, and may hold an array, of which Keras has no form."""
    new = object.__new__(type(operation))
    vars(new).update(vars(operation), _inbound_nodes=[], _outbound_nodes=[])
    return new


def live_config(layer):
    """A layer's configuration, with the layer's own objects in the place of their serialised forms.

    Initializers, regularizers, activations and policies need not be registered with Keras to go through. A layer inside
    a layer stays a configuration, so that the new layer gets one of its own.
    """
    config = layer.get_config()
    for key, value in config.items():
        own = getattr(layer, key, None)
        if key == "dtype" and not isinstance(value, str):
            config[key] = layer.dtype_policy
        elif isinstance(own, keras.Layer) or _is_serialized_layer(value):
            # Without the shapes that it was built on, or it would be built on them again.
            config[key] = _without_shapes(value)
        elif isinstance(value, dict) and "class_name" in value and hasattr(layer, key):
            config[key] = own
        elif isinstance(value, str) and callable(own):
            config[key] = own
    return config


def _without_shapes(config):
    """The configuration of a layer, and of those inside it, without the shapes that they were built on."""
    if isinstance(config, list):
        return [_without_shapes(part) for part in config]
    if isinstance(config, dict):
        return {name: _without_shapes(part) for name, part in config.items() if name != "build_config"}
    return config


def _is_serialized_layer(value):
    return isinstance(value, dict) and "build_config" in value
