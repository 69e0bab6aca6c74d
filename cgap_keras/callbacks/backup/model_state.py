"""What of a model a backup holds, and the way back.

The structure of an edited model is its first structure and the widths of its groups: no matter what edits led to it,
one edit leads there, and all values are set afterwards.
"""

import keras

from cgap_keras.structure.graph import is_nested_model
from cgap_keras.structure.groups import find_groups
from cgap_keras.surgery.apply import apply
from cgap_keras.surgery.live import unwrap_optimizers


def state_variables(model, left_out=()):
    """The variables of a model and its optimizer, `{name: variable}`.

    Args:
        model: A built model.
        left_out: Variables that the optimizer carries for somebody else.
    """
    others = {id(variable) for variable in left_out}
    weights = {id(variable) for variable in model.weights}
    # The name of the model, and the path of a seed's state, may have a number that tells how many were made before.
    named = [(v.path.removeprefix(f"{model.name}/") if id(v) in weights else v.name, v) for v in model.variables]
    if model.optimizer is not None:
        kinds = "/".join(type(optimizer).__name__ for optimizer in unwrap_optimizers(model.optimizer))
        slots = [variable for variable in model.optimizer.variables if id(variable) not in others]
        named += [(f"{kinds}/{v.name.removeprefix(f'{model.name}_')}", v) for v in slots]
    variables = {}
    for name, variable in named:
        # Factors of a sum, say, and the parts of an optimizer of several, have equal names.
        variables[name if name not in variables else f"{name}:{len(variables)}"] = variable
    return variables


def describe_variables(variables):
    """`{name: (shape, type)}` of some variables."""
    return {name: (tuple(v.shape), keras.backend.standardize_dtype(v.dtype)) for name, v in variables.items()}


def describe_widths(model):
    """`{group name: units}`, empty for a model without a graph, which no edit can change."""
    return {group.name: group.size for group in find_groups(model)} if is_nested_model(model) else {}


def get_values(variables):
    """The values of some variables as NumPy arrays."""
    # By way of a tensor, in which the parts of a metric that lie on several devices are added up.
    return [keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable)) for variable in variables]


def set_values(variables, values):
    """Sets what `get_values` told."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def resize(model, widths):
    """Edits a model, so that its groups have the widths; the values of what changes mean nothing then."""
    now = describe_widths(model)
    changed = {name: units for name, units in widths.items() if units != now.get(name)}
    apply(model, {name: [i % now.get(name, units) for i in range(units)] for name, units in changed.items()})
