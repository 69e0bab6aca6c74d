"""Optimizer state, by the variable that it belongs to.

An optimizer keeps its slots in lists that run parallel to the trainable variables. Slots are found by that position,
never by their shape; a slot has its variable's axes, all of them or, as a mean over one, the others.
"""

import dataclasses

from keras import Variable, optimizers

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
        A list of `Slot`. Empty if the optimizer is not built yet.

    Raises:
        ValueError: If which axes of its variable a slot has is not known.
    """
    return [slot for inner in unwrap_optimizers(optimizer) for slot in _slots_of(inner)]


def _slots_of(optimizer):
    variables = list(getattr(optimizer, "_trainable_variables", ()))
    for name, value in vars(optimizer).items():
        if name not in ("_trainable_variables", "_variables") and _is_parallel(value, variables):
            is_weight = any(name in names for kind, names in _WEIGHTS.items() if isinstance(optimizer, kind))
            for variable, slot in zip(variables, value, strict=True):
                if slot is not None:
                    yield Slot(variable, slot, _axes(optimizer, name, variable, slot), is_weight)


def _axes(optimizer, name, variable, slot):
    axes = list(range(len(variable.shape)))
    if len(slot.shape) == 0:
        return ()
    for kind, means in _MEANS.items():
        if isinstance(optimizer, kind) and name in means:
            del axes[means[name]]
    if [variable.shape[axis] for axis in axes] != list(slot.shape):
        raise ValueError(
            f"The optimizer {type(optimizer).__name__} keeps state of shape {tuple(slot.shape)} for `{variable.path}` "
            f"of shape {tuple(variable.shape)}, and which of its axes are which is not known. Use an optimizer whose "
            "slots have their variable's shape, such as SGD or Adam."
        )
    return tuple(axes)


def _is_parallel(value, variables):
    if not isinstance(value, (list, tuple)) or len(value) != len(variables) or not variables:
        return False
    return all(item is None or isinstance(item, Variable) for item in value) and any(item is not None for item in value)
