"""The edit of a copy."""

import keras
from keras import tree

from cgap_keras.structure.graph import as_functional, is_nested_model
from cgap_keras.surgery.apply import apply
from cgap_keras.surgery.symbolic import building_without_values, remake


def rebuild(model, plan, new_units="split", noise=0.0, seed=None):
    """Makes a new model from a model and a plan; the model itself is untouched.

    Args:
        model: A built functional or Sequential `keras.Model`.
        plan: A `Plan`, or a mapping that makes one.
        new_units: How a new unit starts: `"split"`, `"zero"` or `"cgap"`, see `cgap_keras.apply`.
        noise: Noise on a new unit's incoming weights, relative to the standard deviation of its parent's.
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
    new = copy_model(model)
    apply(new, plan, new_units=new_units, noise=noise, seed=seed)
    return new


def copy_model(model):
    """A copy of a model with layers and variables of its own, and the same values. No initializer runs."""
    from keras.src.models.functional import functional_like_constructor

    as_functional(model)
    copies = {}

    def copy_layer(layer):
        # A layer can be shared between a nested model and the one around it.
        if id(layer) not in copies:
            copies[id(layer)] = clone(layer) if is_nested_model(layer) else remake(layer)
        return copies[id(layer)]

    def clone(nested):
        # `keras.models.clone_model` compiles the copy of a compiled model and renames inputs.
        if isinstance(nested, keras.Sequential):
            new = keras.Sequential([copy_layer(layer) for layer in nested._layers], name=nested.name)
        else:
            inputs = tree.map_structure(lambda x: copy_layer(x._keras_history.operation).output, nested._inputs_struct)
            outputs = nested._run_through_graph(inputs, operation_fn=copy_layer)
            kind = type(nested) if functional_like_constructor(type(nested)) else keras.Model
            new = kind(inputs, outputs, name=nested.name)
        # Past the setter, which would give the flag to every layer inside.
        new._trainable = nested.trainable
        return new

    with building_without_values():
        new = clone(model)
    for variable, original in zip(new.variables, model.variables, strict=True):
        variable._initialize(keras.ops.copy(original.value))
        variable._initializer = None
    return new
