"""The table of rules: one a layer family."""

import functools

_RULES = {}
_HARMLESS = frozenset(("get_config", "from_config", "get_build_config", "build_from_config"))


def register_rule(*operations):
    """Registers a function as the rule of some layer or operation classes.

    A rule says how channels pass through a layer: which of its variables make units, carry what belongs to a unit, or
    read units, and to which units the elements of its outputs belong. docs/rules.md is the guide.

    Args:
        *operations: Classes of layers or operations.

    Returns:
        A decorator for a function `rule(call, labels, tracer)` of a `Call` of the graph, a list of label arrays (one
        for each of the call's input tensors) and a `Tracer`, that returns a list of label arrays, one for each output.

    Raises:
        TypeError: If one of the arguments is not a class.

    Example:

    ```python
    @cgap_keras.register_rule(ChannelScale)  # a user's layer: inputs * self.scale, a number for each channel
    def channel_scale(call, labels, tracer):
        channels = tracer.along(labels[0], axis=-1, size=call.inputs[0].shape[-1])
        tracer.carry(call, call.operation.scale, 0, channels)
        return labels
    ```
    """
    for operation in operations:
        if not isinstance(operation, type):
            raise TypeError(f"A rule is registered for classes of layers or operations. Received: {operation!r}")

    def register(function):
        _RULES.update(dict.fromkeys(operations, function))
        _rule_of.cache_clear()
        return function

    return register


rule = register_rule


def known_rules():
    """The table as it is now, `{class of operations: rule}`."""
    return dict(_RULES)


def rule_for(operation):
    """The rule of an operation, or `None`.

    A subclass has the rule of its parent as long as it changes nothing but how it is made and saved; where it overrides
    more (`call`, `build`, a convolution's `convolution_op`), nothing is known of what it does.
    """
    return _rule_of(type(operation))


@functools.cache
def _rule_of(operation):
    overridden = set()
    for kind in operation.__mro__:
        if kind in _RULES:
            return None if overridden & set(dir(kind)) else _RULES[kind]
        overridden |= {name for name in vars(kind) if name not in _HARMLESS and not _is_dunder(name)}
    return None


def _is_dunder(name):
    return name.startswith("__") and name not in ("__call__", "__getattribute__")
