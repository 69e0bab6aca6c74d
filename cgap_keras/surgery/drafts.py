"""Drafts: layers made anew with other widths, from which the live ones take what follows from a width.

Layers that are alike but for their name, as in the blocks of a deep network, have one draft together.
"""

import dataclasses

import keras
from keras import tree

from cgap_keras.surgery.draft_class import draft_class, follows_shape, has_draft_class
from cgap_keras.surgery.likeness import describe, differences, fingerprint
from cgap_keras.surgery.remaking import remake


@dataclasses.dataclass
class Made:
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
    draft of its own, and so does one that is called several times. A draft that has nothing to build is called on the
    shapes of one such layer after the other.
    """

    def __init__(self):
        self._of_layer, self._of_origin, self._of_kind = {}, {}, {}

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
            What was made, a `Made`.
        """
        origin = fingerprint(layer), describe((args, kwargs)), str(sizes)
        # A layer of several calls, or one that cannot be told from others, has a draft of its own.
        alone = len(layer._inbound_nodes) > 1 or None in origin
        alike = None if alone else self._of_origin.get(origin)
        if alike is not None:
            self._of_layer[id(layer)] = alike.layer
            return Made(alike.layer, alike.outputs, [(layer, attributes) for _, attributes in alike.attributes])
        draft = self._of_layer[id(layer)] = self._remade(layer, sizes, None if alone else origin[0])
        outputs = [stand_in(x) for x in _outputs(draft, args, kwargs)]
        made = Made(draft, outputs, differences(layer, draft))
        if not alone:
            self._of_origin[origin] = made
        return made

    def _remade(self, layer, sizes, kind):
        """A draft to be built and called; `kind` is the fingerprint of a layer that can share one."""
        if kind in self._of_kind and not sizes:
            return self._of_kind[kind]
        draft = remake(layer, sizes, draft_class(type(layer)))
        # What counts as built from the start is never told a shape, so it can be called on any.
        if kind and not sizes and has_draft_class(type(layer)) and draft.built and not draft.variables:
            self._of_kind[kind] = draft
        return draft


def _outputs(draft, args, kwargs):
    """Builds and calls a draft; returns a flat list of symbolic tensors.

    Of a call on one tensor only `build` and the shape function are run, where a layer of Keras's own has one: what the
    call does besides, it does to values.
    """
    alone = len(args) == 1 and all(value is None for value in kwargs.values())
    tensor = args[0] if alone and follows_shape(type(draft)) else None
    if not isinstance(tensor, keras.KerasTensor) or tensor.dtype != draft.input_dtype:
        return tree.flatten(draft(*args, **kwargs))
    if not draft.built:
        draft.build(tensor.shape)
    shape = draft.compute_output_shape(tensor.shape)
    if isinstance(shape, tuple) and all(size is None or isinstance(size, int) for size in shape):
        return [keras.KerasTensor(shape, draft.compute_dtype, name="draft")]
    return tree.flatten(draft.compute_output_spec(tensor))


def stand_in(tensor, shape=None):
    """A tensor like a live one: a layer that is called on a live tensor enters itself in the live graph."""
    # Named, or Keras works out a name, and counts on.
    return keras.KerasTensor(tensor.shape if shape is None else shape, tensor.dtype, tensor.sparse, name="draft")
