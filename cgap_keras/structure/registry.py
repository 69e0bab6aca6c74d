"""The table of rules: one a layer family."""

_RULES = {}
_HARMLESS = frozenset(("get_config", "from_config", "get_build_config", "build_from_config"))


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

    A subclass has the rule of its parent as long as it changes nothing but how it is made and saved; where it overrides
    more (`call`, `build`, a convolution's `convolution_op`), nothing is known of what it does.
    """
    overridden = set()
    for kind in type(operation).__mro__:
        if kind in _RULES:
            return None if overridden & set(dir(kind)) else _RULES[kind]
        overridden |= {name for name in vars(kind) if name not in _HARMLESS and not _is_dunder(name)}
    return None


def _is_dunder(name):
    return name.startswith("__") and name not in ("__call__", "__getattribute__")
