"""Running a model's graph on shapes alone, with layers of new widths: the proof that an edit is consistent.

Each layer that an edit touches gets a *draft*: a layer made from its own configuration with the widths changed, built
by its own `build` on the shapes that now reach it. Whatever a layer derives from its width is therefore derived by the
layer itself. Layers that are alike but for their name, as in the blocks of a deep network, have one draft together.
Nothing of the live model changes here, and whatever can fail fails here.
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
from cgap_keras.surgery.likeness import describe, differences, fingerprint
from cgap_keras.surgery.remaking import building_without_values, remake


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


@dataclasses.dataclass
class _Made:
    """A draft.

    Attributes:
        layer: The draft layer.
        outputs: The symbolic tensors that it returned, flat.
        attributes: `(live layer or part of one, {name: new value})` pairs, where the live layer differs from it.
    """

    layer: keras.Operation
    outputs: list
    attributes: list


class Drafts:
    """The drafts of an edit by the layers that they are of.

    A draft serves all layers that are alike but for their names: one that derived an attribute from its name has a
    draft of its own, and so does one that is called several times.
    """

    def __init__(self):
        self._of_layer, self._of_origin = {}, {}

    def __contains__(self, layer):
        return id(layer) in self._of_layer

    def call(self, layer, args, kwargs):
        """Calls the draft of a layer that has one, and returns a flat list of symbolic tensors."""
        return tree.flatten(self._of_layer[id(layer)](*args, **kwargs))

    def make(self, layer, sizes, args, kwargs):
        """Finds or makes the draft of a layer.

        Args:
            layer: A layer or an operation without a draft.
            sizes: What changes in its configuration, see `remake`.
            args: The positional arguments that it is called with.
            kwargs: The keyword arguments.

        Returns:
            What was made, a `_Made`.
        """
        origin = fingerprint(layer), describe((args, kwargs)), str(sizes)
        # A layer of several calls, or one that cannot be told from others, has a draft of its own.
        alone = len(layer._inbound_nodes) > 1 or None in origin
        alike = None if alone else self._of_origin.get(origin)
        if alike is not None:
            self._of_layer[id(layer)] = alike.layer
            return _Made(alike.layer, alike.outputs, [(layer, attributes) for _, attributes in alike.attributes])
        draft = self._of_layer[id(layer)] = remake(layer, sizes)
        outputs = [_stand_in(x) for x in tree.flatten(draft(*args, **kwargs))]
        made = _Made(draft, outputs, differences(layer, draft))
        if not alone:
            self._of_origin[origin] = made
        return made


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
        outputs = _run(functional, [_stand_in(x) for x in functional.inputs], "", sizes, Drafts(), draft)
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
    if same_inputs and path not in sizes and operation not in drafts:
        return [_stand_in(tensor) for tensor in node.outputs]
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


def _stand_in(tensor, shape=None):
    """A tensor like a live one: a layer that is called on a live tensor enters itself in the live graph."""
    # Named, or Keras works out a name, and counts on.
    return keras.KerasTensor(tensor.shape if shape is None else shape, tensor.dtype, tensor.sparse, name="draft")


def _edited_shape(own, before, after):
    """A shape with the axes changed that an edit changes where the tensor comes from."""
    return tuple(new if old != new else size for size, old, new in zip(own, before, after, strict=True))
