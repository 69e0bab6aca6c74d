"""Letting TensorFlow forget the functions that were traced before an edit. Imported on the TensorFlow backend alone.

While a training step is traced, adding gradients up over devices enters a gradient function in a registry of
TensorFlow's, on one device too. The registry never forgets, and the function holds the graph of the whole step: a few
MiB for a small network, at every edit.
"""

import types

from tensorflow.python.framework import ops

_PREFIX = "CustomGradient-"


def release_graphs(variables):
    """Takes the gradient functions out of the registry whose graphs read variables that are gone.

    Args:
        variables: The `tf.Variable`s that no model has any more.
    """
    gone = {id(handle) for variable in variables for handle in _handles(variable)}
    registry = ops.gradient_registry._registry
    functions = {name: entry["type"] for name, entry in registry.items() if name.startswith(_PREFIX)}
    for name, function in functions.items():
        if any(id(outside) in gone for graph in _graphs(function) for outside, _ in graph.captures):
            del registry[name]


def _handles(variable):
    """The handles of a variable, one on each device."""
    return [part.handle for part in getattr(variable, "values", (variable,))]


def _graphs(function):
    """The graphs of the tensors that a function was closed over, and the functions in it."""
    found, waiting, seen = [], [function], set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        graph = getattr(item, "graph", None)
        if isinstance(item, (list, tuple)):
            waiting += item
        elif getattr(item, "__closure__", None):
            waiting += [cell.cell_contents for cell in item.__closure__ if cell != types.CellType()]
        elif hasattr(graph, "captures"):
            found.append(graph)
    return found
