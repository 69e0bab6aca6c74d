"""The table of rules: one a layer family."""

_RULES = {}


def rule(*operations):
    """Registers a function as the rule of some layer or operation classes.

    The function is called as `rule(call, labels, tracer)` with a `Call` of the graph, a list of label arrays, one for
    each of the call's input tensors, and the `Tracer`. It returns a list of label arrays, one for each output.
    """

    def register(function):
        _RULES.update(dict.fromkeys(operations, function))
        return function

    return register


def rule_for(operation):
    """The rule of an operation, or `None`.

    A subclass has the rule of its parent as long as it inherits the parent's `call` and `build`; with its own, nothing
    is known of what it does.
    """
    for parent in type(operation).__mro__:
        if parent in _RULES:
            same = all(getattr(type(operation), name, None) is getattr(parent, name, None) for name in ("call", "build"))
            return _RULES[parent] if same else None
    return None
