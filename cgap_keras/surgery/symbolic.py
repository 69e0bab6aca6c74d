"""Running a model's graph on shapes alone, with layers of new widths: the proof that an edit is consistent.

Each layer that an edit touches gets a *draft*: a layer made from its own configuration with the widths changed, built
by its own `build` on the shapes that now reach it. Whatever a layer derives from its width is therefore derived by the
layer itself. Nothing of the live model changes here, and whatever can fail fails here.
"""

import dataclasses

import keras
from keras import tree

from cgap_keras.structure.graph import (
    as_functional,
    fill_in,
    is_model_over_time,
    is_nested_model,
    ordered_nodes,
    without_time,
)
from cgap_keras.surgery.drafts import Drafts, stand_in
from cgap_keras.surgery.remaking import building_without_values


@dataclasses.dataclass
class Draft:
    """What a model becomes.

    Attributes:
        layers: `(live layer, draft layer)` pairs.
        attributes: `(live layer or part of one, {name: new value})` pairs.
        tensors: `(live symbolic tensor, new shape)` pairs.
        inputs: `(live input layer, new batch shape)` pairs, of nested models.
        stacks: `(live layer, new input shape)` pairs, of Sequential and `TimeDistributed` layers.
    """

    layers: list = dataclasses.field(default_factory=list)
    attributes: list = dataclasses.field(default_factory=list)
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
        outputs = _run(functional, [stand_in(x) for x in functional.inputs], "", sizes, Drafts(), draft)
    for old, new in zip(functional.outputs, outputs, strict=True):
        if old.shape != new.shape:
            raise ValueError(f"The edit would change the shape of an output of the model, {old.shape}, to {new.shape}.")
    return draft


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
    edited = [stand_in(own, _edited_shape(own.shape, old.shape, new.shape)) for own, old, new in triples]
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
    steps = [stand_in(tensor, without_time(tensor.shape)) for tensor in (called, reached)]
    outputs = _run_nested(node.operation.layer, steps[:1], steps[1:], prefix, sizes, drafts, draft)
    if reached.shape != called.shape:
        draft.stacks.append((node.operation, reached.shape))
    return [stand_in(out, (out.shape[0], reached.shape[1], *out.shape[1:])) for out in outputs]


def _run_node(node, path, tensors, sizes, drafts, draft):
    operation = node.operation
    same_inputs = all(tensors[id(tensor)].shape == tensor.shape for tensor in node.input_tensors)
    if same_inputs and path not in sizes and operation not in drafts:
        return [stand_in(tensor) for tensor in node.outputs]
    args, kwargs = fill_in(node, tensors)
    try:
        if not isinstance(operation, keras.Layer) and path not in sizes:
            return tree.flatten(operation.compute_output_spec(*args, **kwargs))
        if operation in drafts:
            return drafts.call(operation, args, kwargs)
        made = drafts.make(operation, sizes.get(path, {}), args, kwargs)
        draft.layers.append((operation, made.layer))
        draft.attributes += made.attributes
        return made.outputs
    except (TypeError, ValueError) as error:
        kind = type(operation).__name__
        raise ValueError(f"`{path}` ({kind}) cannot be rebuilt with the widths of this plan: {error}") from error


def _edited_shape(own, before, after):
    """A shape with the axes changed that an edit changes where the tensor comes from."""
    return tuple(new if old != new else size for size, old, new in zip(own, before, after, strict=True))
