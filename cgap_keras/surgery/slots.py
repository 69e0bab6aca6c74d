"""Optimizer state, by the variable that it belongs to.

An optimizer keeps its slots in lists that run parallel to the trainable variables. Slots are found by that position,
never by their shape.
"""

from keras import Variable

from cgap_keras.surgery.live import unwrap_optimizers

# Averages of the weights follow the weights' own rule: a unit's outgoing average is shared out as its weight is.
AVERAGES = ("_model_variables_moving_average",)


def find_slots(optimizer):
    """The slots of an optimizer.

    Args:
        optimizer: A `keras.optimizers.Optimizer`, or `None`.

    Returns:
        A list of `(model variable, slot variable, is_average)`. Empty if the optimizer is not built yet.

    Raises:
        ValueError: If a slot has another shape than its variable, so that its axes are not known.
    """
    slots = []
    for inner in unwrap_optimizers(optimizer):
        variables = list(getattr(inner, "_trainable_variables", ()))
        for name, value in vars(inner).items():
            if name not in ("_trainable_variables", "_variables") and _is_parallel(value, variables):
                slots += [
                    (v, slot, name in AVERAGES) for v, slot in zip(variables, value, strict=True) if slot is not None
                ]
    for variable, slot, _ in slots:
        if tuple(slot.shape) != tuple(variable.shape):
            raise ValueError(
                f"The optimizer {type(optimizer).__name__} keeps state of shape {tuple(slot.shape)} for "
                f"`{variable.path}` of "
                f"shape {tuple(variable.shape)}, and which of its axes are which is not known. Use an optimizer "
                "whose slots "
                "have their variable's shape, such as SGD or Adam."
            )
    return slots


def _is_parallel(value, variables):
    if not isinstance(value, (list, tuple)) or len(value) != len(variables) or not variables:
        return False
    return all(item is None or isinstance(item, Variable) for item in value) and any(item is not None for item in value)
