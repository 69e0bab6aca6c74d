"""Running a model's graph on shapes alone, with layers of new widths: the proof that an edit is consistent.

Each layer that an edit touches gets a *draft*: a layer made from its own configuration with the widths changed, built
by its own `build` on the shapes that now reach it. Whatever a layer derives from its width is therefore derived by the
layer itself. Nothing of the live model changes here, and whatever can fail fails here.
"""

import contextlib
import dataclasses
import functools
import operator
import random

import keras
from keras import tree

from cgap_keras.structure.graph import (
    as_functional,
    is_model_over_time,
    is_nested_model,
    ordered_nodes,
    without_time,
)


@dataclasses.dataclass
class Draft:
    """What a model becomes.

    Attributes:
        layers: `(live layer, draft layer)` pairs.
        tensors: `(live symbolic tensor, new shape)` pairs.
        inputs: `(live input layer, new batch shape)` pairs, of nested models.
        stacks: `(live layer, new input shape)` pairs, of Sequential and `TimeDistributed` layers.
    """

    layers: list = dataclasses.field(default_factory=list)
    tensors: list = dataclasses.field(default_factory=list)
    inputs: list = dataclasses.field(default_factory=list)
    stacks: list = dataclasses.field(default_factory=list)


def draft_model(model, sizes):
    """Works out what an edit makes of every layer and tensor of a model.

    Args:
        model: A functional or Sequential model.
        sizes: `{layer path: {path into its configuration: new value}}`.

    Returns:
        A `Draft`.

    Raises:
        ValueError: If a layer cannot be built with its new width, or an output of the model would change its shape.
    """
    functional, draft = as_functional(model), Draft()
    with building_without_values():
        outputs = _run(functional, [_stand_in(x) for x in functional.inputs], "", sizes, {}, draft)
    for old, new in zip(functional.outputs, outputs, strict=True):
        if old.shape != new.shape:
            raise ValueError(f"The edit would change the shape of an output of the model, {old.shape}, to {new.shape}.")
    return draft


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


def remake(operation, sizes=None):
    """An operation made anew from its own configuration, with some keys changed.

    Args:
        operation: A `keras.Layer` or another operation.
        sizes: `{path into its configuration: new value}`. Defaults to no change.
    """
    if isinstance(operation, keras.layers.Lambda):
        return _remake_lambda(operation)
    if not isinstance(operation, keras.Layer) and not sizes:
        return _copy_operation(operation)
    config = live_config(operation) if isinstance(operation, keras.Layer) else operation.get_config()
    for (*outer, last), value in (sizes or {}).items():
        functools.reduce(operator.getitem, outer, config)[last] = value
    new, known = type(operation).from_config(config), operation._auto_config
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


def _run(functional, inputs, prefix, sizes, drafts, draft):
    tensors = {id(old): new for old, new in zip(functional.inputs, inputs, strict=True)}
    for old, new in zip(functional.inputs, inputs, strict=True):
        if old.shape != new.shape:
            draft.tensors.append((old, new.shape))
            draft.inputs.append((old._keras_history.operation, new.shape))
    for node in ordered_nodes(functional):
        if any(id(tensor) not in tensors for tensor in node.input_tensors):
            continue
        path = f"{prefix}{node.operation.name}"
        if is_nested_model(node.operation):
            reached = [tensors[id(tensor)] for tensor in node.input_tensors]
            outputs = _run_nested(node.operation, node.input_tensors, reached, f"{path}/", sizes, drafts, draft)
        elif is_model_over_time(node.operation):
            outputs = _run_over_time(node, f"{path}/", tensors, sizes, drafts, draft)
        else:
            outputs = _run_node(node, path, tensors, sizes, drafts, draft)
        for old, new in zip(node.outputs, outputs, strict=True):
            tensors[id(old)] = new
            if old.shape != new.shape:
                draft.tensors.append((old, new.shape))
    return [tensors[id(tensor)] for tensor in functional.outputs]


def _run_nested(nested, called, reached, prefix, sizes, drafts, draft):
    """Runs a nested model that was called on some tensors and is now reached by others."""
    functional = as_functional(nested)
    triples = list(zip(functional.inputs, called, reached, strict=True))
    edited = [_stand_in(own, _edited_shape(own.shape, old.shape, new.shape)) for own, old, new in triples]
    outputs = _run(functional, edited, prefix, sizes, drafts, draft)
    if isinstance(nested, keras.Sequential) and edited[0].shape != functional.inputs[0].shape:
        draft.stacks.append((nested, edited[0].shape))
    if any(own.shape != old.shape for own, old, _ in triples):
        # Called on other shapes than the ones it was made with: what comes out takes another run, that changes nothing.
        outputs = _run(functional, reached, prefix, sizes, drafts, Draft())
    return outputs


def _run_over_time(node, prefix, tensors, sizes, drafts, draft):
    """Runs the model inside a `TimeDistributed` layer on one step."""
    called, reached = node.input_tensors[0], tensors[id(node.input_tensors[0])]
    steps = [_stand_in(tensor, without_time(tensor.shape)) for tensor in (called, reached)]
    outputs = _run_nested(node.operation.layer, steps[:1], steps[1:], prefix, sizes, drafts, draft)
    if reached.shape != called.shape:
        draft.stacks.append((node.operation, reached.shape))
    return [_stand_in(out, (out.shape[0], reached.shape[1], *out.shape[1:])) for out in outputs]


def _run_node(node, path, tensors, sizes, drafts, draft):
    operation = node.operation
    same_inputs = all(tensors[id(tensor)].shape == tensor.shape for tensor in node.input_tensors)
    if same_inputs and path not in sizes and id(operation) not in drafts:
        return [_stand_in(tensor) for tensor in node.outputs]
    args, kwargs = node.arguments.fill_in(tensors)
    try:
        if not isinstance(operation, keras.Layer) and path not in sizes:
            return tree.flatten(operation.compute_output_spec(*args, **kwargs))
        if id(operation) not in drafts:
            drafts[id(operation)] = remake(operation, sizes.get(path, {}))
            draft.layers.append((operation, drafts[id(operation)]))
        return tree.flatten(drafts[id(operation)](*args, **kwargs))
    except (TypeError, ValueError) as error:
        kind = type(operation).__name__
        raise ValueError(f"`{path}` ({kind}) cannot be rebuilt with the widths of this plan: {error}") from error


def _stand_in(tensor, shape=None):
    """A tensor like a live one: a layer that is called on a live tensor enters itself in the live graph."""
    return keras.KerasTensor(tensor.shape if shape is None else shape, tensor.dtype, tensor.sparse)


def _edited_shape(own, before, after):
    """A shape with the axes changed that an edit changes where the tensor comes from."""
    return tuple(new if old != new else size for size, old, new in zip(own, before, after, strict=True))
