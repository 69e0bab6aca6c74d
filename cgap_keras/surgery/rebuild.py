"""The edit of a copy."""

import keras
from keras import tree

from cgap_keras.structure.collection import without_collection
from cgap_keras.structure.graph import as_functional, is_nested_model
from cgap_keras.surgery.apply import apply
from cgap_keras.surgery.attributes import set_attributes
from cgap_keras.surgery.remaking import building_without_values, remake
from cgap_keras.surgery.subclasses import copied_class


@without_collection
def rebuild(model, plan, new_units="split", noise=0.0, seed=None):
    """Makes a new model from a model and a plan; the model itself is untouched.

    Args:
        model: A built functional or Sequential `keras.Model`.
        plan: A `Plan`, or a mapping that makes one.
        new_units: How a new unit starts: `"split"`, `"zero"` or `"cgap"`, see `cgap_keras.apply`.
        noise: Noise that tells a new unit from its parent, see there.
        seed: Integer seed of the noise.

    Returns:
        A new `keras.Model`, not compiled.

    Raises:
        ValueError: If the plan does not fit the model.

    Example:

    ```python
    smaller = cgap_keras.rebuild(model, cgap_keras.Plan({"conv2d_3": [0, 1]}))
    ```
    """
    new, pairs = _copy_structure(model)
    # Lent before copied: an edited variable takes a value of its own, and a copy would only stand beside it in memory.
    for variable, original in pairs:
        _initialize(variable, original.value)
    lent = [variable.value for variable, _ in pairs]
    apply(new, plan, new_units=new_units, noise=noise, seed=seed)
    for (variable, _), value in zip(pairs, lent, strict=True):
        if variable.value is value:
            _initialize(variable, keras.ops.copy(value))
    _finalize_states(new)
    return new


def copy_model(model):
    """A copy of a model with layers and variables of its own, and the same values. No initializer runs."""
    new, pairs = _copy_structure(model)
    for variable, original in pairs:
        _initialize(variable, keras.ops.copy(original.value))
    _finalize_states(new)
    return new


def _copy_structure(model):
    """A copy of a model whose variables have no values, and its `(variable, original variable)` pairs."""
    as_functional(model)
    copies = {}

    def copy_layer(layer):
        # A layer can be shared between a nested model and the one around it.
        if id(layer) not in copies:
            copies[id(layer)] = layer, clone(layer) if is_nested_model(layer) else remake(layer)
        return copies[id(layer)][1]

    def clone(nested):
        # `keras.models.clone_model` compiles the copy of a compiled model and renames inputs.
        kind, attributes = copied_class(nested)
        if isinstance(nested, keras.Sequential):
            new = kind([copy_layer(layer) for layer in nested._layers], name=nested.name)
        else:
            inputs = tree.map_structure(lambda x: copy_layer(x._keras_history.operation).output, nested._inputs_struct)
            outputs = nested._run_through_graph(inputs, operation_fn=copy_layer)
            new = kind(inputs, outputs, name=nested.name)
        set_attributes(new, attributes)
        # Past the setter, which would give the flag to every layer inside.
        new._trainable = nested.trainable
        return new

    with building_without_values():
        new = clone(model)
    # By layer: the order of a model's own list depends on which layers its constructor holds as attributes.
    pairs = []
    for layer, copied in copies.values():
        if isinstance(layer, keras.Layer) and not is_nested_model(layer):
            pairs += zip(copied.variables, layer.variables, strict=True)
    return new, pairs


def _finalize_states(model):
    """Lets layers that were adapted to data work out from their variables what they compute with."""
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def _initialize(variable, value):
    variable._initialize(value)
    variable._initializer = None
