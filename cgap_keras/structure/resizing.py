"""A traced model at other widths: the shapes of its tensors, without building it."""

import dataclasses

import numpy as np

from cgap_keras.structure.graph import trace
from cgap_keras.structure.groups import groups_in, units_in_tensors
from cgap_keras.structure.layout import FIXED


class ResizableGraph:
    """The graph of a model as a function of the widths of its groups.

    To build a deep model takes a second; to give its tensors other shapes takes milliseconds. The operations of the
    graph stay those of the model, with the widths that they were made with.

    Args:
        model: A built functional or Sequential model.

    Raises:
        NotImplementedError: If units stand in no order in a tensor, or along several of its axes, or if an operation
            holds their number where a shape does not show it.
    """

    def __init__(self, model):
        self._graph = trace(model)
        groups = groups_in(model, self._graph)
        self._index = {group.name: group.index for group in groups}
        # How many groups of channels a convolution has is no size of any of its tensors.
        hidden = [size.layer for group in groups for size in group.size_keys if size.key[-1] == "groups"]
        if hidden:
            raise NotImplementedError(f"Layer {hidden[0]!r} holds a width as its number of groups.")
        edges = {edge.key: edge for edge in self._graph.inputs}
        edges.update((edge.key, edge) for call in self._graph.calls for edge in call.outputs)
        units = units_in_tensors(self._graph, edges.values())
        self._axes = {key: _axis(edge, *units[key]) for key, edge in edges.items()}

    def at(self, widths):
        """The graph with some groups at other widths.

        Args:
            widths: `{group name: units}`; the groups left out keep their width.

        Returns:
            A `Graph`.
        """
        sizes = {self._index[name]: units for name, units in widths.items()}
        calls = [
            dataclasses.replace(
                call, inputs=self._resized(call.inputs, sizes), outputs=self._resized(call.outputs, sizes)
            )
            for call in self._graph.calls
        ]
        return dataclasses.replace(self._graph, calls=tuple(calls))

    def _resized(self, edges, sizes):
        return tuple(_resized(edge, self._axes[edge.key], sizes) for edge in edges)


def _axis(edge, shape, runs):
    """The axis of a tensor along which units lie, and their runs; `None` if none do."""
    if runs is None:
        raise NotImplementedError(f"The units in a tensor of shape {edge.shape} stand in no order.")
    along = [axis for axis, size in enumerate(shape) if size > 1]
    if not along and runs[0].group != FIXED:
        # The only unit of a group: its label alone does not tell the axis.
        along = [axis for axis, size in enumerate(edge.shape) if size == 1]
    if not along:
        return None
    if len(along) > 1 or shape[along[0]] not in (1, edge.shape[along[0]]):
        raise NotImplementedError(f"Units lie along several axes of a tensor of shape {edge.shape}.")
    return along[0], runs


def _resized(edge, axis, sizes):
    if axis is None:
        return edge
    place, runs = axis
    size = int(np.sum([sizes.get(run.group, run.units) * run.repeat for run in runs]))
    return dataclasses.replace(edge, shape=(*edge.shape[:place], size, *edge.shape[place + 1 :]))
