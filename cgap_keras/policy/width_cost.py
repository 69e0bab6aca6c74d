"""What a model would cost at other widths, without building it: parameters and multiply-accumulates."""

import math

from cgap_keras.cost import cost, counted_weights
from cgap_keras.structure.graph import trace
from cgap_keras.structure.groups import find_variables

CURRENCIES = ("params", "macs")


class WidthCost:
    """The cost of a model as a function of the widths of its groups.

    A variable's size is the product of its axes, an axis is the sum of its runs, and the multiply-accumulates of a
    layer grow with its kernel. So the cost at any widths follows from the graph, exactly for parameters, and exactly
    for the multiply-accumulates of convolutions and dense layers.

    Args:
        model: A built functional or Sequential model.
        groups: Its channel groups.
        currency: `"params"` or `"macs"`, counted as `cgap_keras.cost` counts them.

    Raises:
        ValueError: If the currency is unknown.
    """

    # Every unit costs something.
    is_stepwise = False

    def __init__(self, model, groups, currency="params"):
        if currency not in CURRENCIES:
            raise ValueError(f"`currency` must be one of {', '.join(CURRENCIES)}. Received: currency={currency!r}")
        runs = {axis.key: axis.runs for group in groups for axis in group.axes}
        self._terms = _param_terms(model, runs) if currency == "params" else _mac_terms(model, runs)
        self._widths = {group.index: group.size for group in groups}
        self._index = {group.name: group.index for group in groups}

    def __call__(self, widths=None):
        """The cost with some groups at other widths.

        Args:
            widths: `{group name: units}`; the groups left out keep their width.

        Returns:
            The cost, an integer.
        """
        sizes = self._widths | {self._index[name]: units for name, units in (widths or {}).items()}
        return round(sum(factor * math.prod(_axis_size(axis, sizes) for axis in axes) for factor, axes in self._terms))


def _axis_size(axis, sizes):
    """The size of an axis: a number, or runs whose groups have these sizes."""
    if isinstance(axis, int):
        return axis
    return sum(sizes.get(run.group, run.units) * run.repeat for run in axis)


def _axes(path, variable, runs):
    # An axis whose units stand in no order has no runs; no edit changes its size.
    return [runs.get((path, axis)) or size for axis, size in enumerate(variable.shape)]


def _param_terms(model, runs):
    """`(1, axes)` for every parameter that `cost` counts."""
    counted = {id(v) for call in trace(model).calls for v in counted_weights(call.operation)}
    return [(1, _axes(path, v, runs)) for path, v in find_variables(model).items() if id(v) in counted]


def _mac_terms(model, runs):
    """`(multiply-accumulates a weight, axes)` for a layer's matrices, `(their number, [])` without any."""
    macs = {row.path: row.macs for row in cost(model).layers}
    matrices = {}
    for path, variable in find_variables(model).items():
        layer = path.rpartition("/")[0]
        # The bias of a GRU has two axes, but multiplies nothing.
        if len(variable.shape) > 1 and variable.name != "bias" and macs.get(layer):
            matrices.setdefault(layer, []).append((path, variable))
    terms = [(count, []) for layer, count in macs.items() if layer not in matrices]
    for layer, members in matrices.items():
        each = macs[layer] / sum(math.prod(variable.shape) for _, variable in members)
        terms += [(each, _axes(path, variable, runs)) for path, variable in members]
    return terms
