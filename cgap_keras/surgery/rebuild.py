"""The edit of a copy."""

import keras

from cgap_keras.structure.graph import as_functional, is_nested_model
from cgap_keras.surgery.apply import apply
from cgap_keras.surgery.symbolic import building_without_values, live_config


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
    as_functional(model)
    with building_without_values():
        new = keras.models.clone_model(model, clone_function=_copy_layer)
    for variable, original in zip(new.variables, model.variables, strict=True):
        variable._initialize(keras.ops.copy(original.value))
        variable._initializer = None
    return new


def _copy_layer(layer):
    if is_nested_model(layer):
        return keras.models.clone_model(layer, clone_function=_copy_layer)
    return type(layer).from_config(live_config(layer))
