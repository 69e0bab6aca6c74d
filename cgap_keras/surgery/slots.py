"""Optimizer state, by the variable that it belongs to.

An optimizer keeps its slots in lists that run parallel to the trainable variables. Slots are found by that position,
never by their shape; a slot has its variable's axes, all of them or, as a mean over one, the others. What an optimizer
of the user's own keeps in other shapes begins anew where an edit touches it.
"""

import dataclasses

import numpy as np
from keras import Variable, optimizers

from cgap_keras.surgery.arrays import to_tensor
from cgap_keras.surgery.gather import edited_shape
from cgap_keras.surgery.live import unwrap_optimizers

# Slots that hold weights, or what weights are computed from: they follow the weights' own rule, by which a unit's
# outgoing weights are shared out among its copies.
_WEIGHTS = {
    optimizers.Optimizer: ("_model_variables_moving_average",),
    # What the weights are interpolated from, though its name is momentum.
    optimizers.ScheduleFreeAdamW: ("_momentums",),
    # A weight is the negative of this, over a function of the accumulator.
    optimizers.Ftrl: ("_linears",),
}
# Where state lies that others have added to an optimizer: `(variable, slot, axes)` triples.
ADDED = "_added_slots"
# Slots that are a mean over one axis of their variable, counted from the end, and have all the others.
_MEANS = {optimizers.Adafactor: {"_r": -1, "_c": -2}}


@dataclasses.dataclass(frozen=True)
class Slot:
    """One variable of an optimizer's state.

    Attributes:
        variable: The model's variable that it belongs to.
        value: The optimizer's variable.
        axes: The variable's axis behind each axis of the slot.
        is_weight: Whether it follows the rule of weights.
    """

    variable: Variable
    value: Variable
    axes: tuple[int, ...]
    is_weight: bool


def find_slots(optimizer):
    """The slots of an optimizer.

    Args:
        optimizer: A `keras.optimizers.Optimizer`, or `None`.

    Returns:
        A list of `Slot`, without state of which nobody knows which axes of its variable it has. Empty if the optimizer
        is not built yet.
    """
    return [slot for inner in unwrap_optimizers(optimizer) for slot in _slots_of(inner)]


def fresh_state(optimizer, slots, edits):
    """The values with which state that is no slot begins anew: those that a new optimizer would give it.

    Args:
        optimizer: A `keras.optimizers.Optimizer`, or `None`.
        slots: Its slots.
        edits: `{id(variable): edits}`, what becomes of the axes of the model's variables.

    Returns:
        A list of `(optimizer's variable, tensor)`: of state beside an edited variable, and of any that changes its
        shape with the model.

    Raises:
        ValueError: If no new optimizer can be made from the configuration of this one.
    """
    known = {id(slot.value) for slot in slots}
    return [pair for inner in unwrap_optimizers(optimizer) for pair in _fresh_state(inner, known, edits)]


def _fresh_state(optimizer, known, edits):
    state = list(getattr(optimizer, "_variables", ()))
    if all(id(variable) in known or len(variable.shape) == 0 for variable in state):
        return
    edited = {id(slot) for _, variable, slot in _parallel_state(optimizer) if id(variable) in edits}
    new = _made_anew(optimizer, edits)
    for old, fresh in zip(state, new, strict=False):
        if id(old) not in known and (id(old) in edited or tuple(old.shape) != tuple(fresh.shape)):
            yield old, to_tensor(np.array(fresh))


def _made_anew(optimizer, edits):
    """The state of a new optimizer like this one, for variables of the shapes after an edit."""
    shapes = [edited_shape(x.shape, edits.get(id(x), ())) for x in optimizer._trainable_variables]
    try:
        new = type(optimizer).from_config(optimizer.get_config())
        new.build([Variable("zeros", shape, name=f"edited_{i}") for i, shape in enumerate(shapes)])
    except (AttributeError, TypeError, ValueError) as error:
        kind = type(optimizer).__name__
        raise ValueError(
            f"The optimizer {kind} keeps state of other shapes than its variables', which has to begin anew, and no "
            f"{kind} can be made from its configuration: {error} Give it a `get_config` that holds its arguments."
        ) from error
    return new._variables


def _slots_of(optimizer):
    for name, variable, slot in _parallel_state(optimizer):
        axes = _axes(optimizer, name, variable, slot)
        if axes is not None:
            is_weight = any(name in names for kind, names in _WEIGHTS.items() if isinstance(optimizer, kind))
            yield Slot(variable, slot, axes, is_weight)
    for variable, slot, axes in vars(optimizer).get(ADDED, ()):
        yield Slot(variable, slot, axes, is_weight=False)


def _parallel_state(optimizer):
    """`(name of the list, variable of the model, variable of the optimizer)` for each that belongs to one."""
    variables = list(getattr(optimizer, "_trainable_variables", ()))
    for name, value in vars(optimizer).items():
        if name not in ("_trainable_variables", "_variables") and _is_parallel(value, variables):
            for variable, slot in zip(variables, value, strict=True):
                if slot is not None:
                    yield name, variable, slot


def _axes(optimizer, name, variable, slot):
    """The variable's axis behind each axis of a slot, or `None` if that is not known."""
    axes = list(range(len(variable.shape)))
    if len(slot.shape) == 0:
        return ()
    for kind, means in _MEANS.items():
        if isinstance(optimizer, kind) and name in means:
            del axes[means[name]]
    return tuple(axes) if [variable.shape[axis] for axis in axes] == list(slot.shape) else None


def _is_parallel(value, variables):
    if not isinstance(value, (list, tuple)) or len(value) != len(variables) or not variables:
        return False
    return all(item is None or isinstance(item, Variable) for item in value) and any(item is not None for item in value)
