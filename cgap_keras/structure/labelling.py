"""The walk through a graph that gives every tensor its labels, by the rule of each call."""

import dataclasses
import functools
import inspect

import keras

from cgap_keras.structure.graph import edges_among
from cgap_keras.structure.layout import FIXED
from cgap_keras.structure.registry import rule_for
from cgap_keras.structure.tracer import fixed_labels


def label_graph(graph, inputs, tracer):
    """Applies the rule of every call of a graph.

    Args:
        graph: A `Graph`.
        inputs: The labels of its inputs, a list.
        tracer: The `Tracer` that the rules speak to.

    Returns:
        The labels of its outputs, a list.
    """
    labels = label_tensors(graph, inputs, tracer)
    return [labels[edge.key] for edge in graph.outputs]


def label_tensors(graph, inputs, tracer):
    """The labels of every tensor of a graph, `{edge key: labels}`; the arguments are those of `label_graph`."""
    labels = {edge.key: x for edge, x in zip(graph.inputs, inputs, strict=True)}
    for call in graph.calls:
        outputs = apply_rule(call, [labels[edge.key] for edge in call.inputs], tracer)
        labels.update((edge.key, x) for edge, x in zip(call.outputs, outputs, strict=True))
    return labels


def apply_rule(call, labels, tracer):
    """The labels of a call's outputs. What no rule describes freezes the units that reach it.

    Args:
        call: A `Call`.
        labels: The labels of its inputs, a list.
        tracer: The `Tracer` that the rule speaks to.

    Returns:
        A list of label arrays.
    """
    rule, kind = rule_for(call.operation), type(call.operation).__name__
    quantized = _quantization(call.operation)
    if quantized:
        return refuse(call, labels, tracer, f"is quantized ({quantized}); edit the model before it is quantized.")
    if rule is None:
        return refuse(
            call,
            labels,
            tracer,
            f"reads it, and no rule says what {kind} does with channels; "
            f"`cgap_keras.register_rule({kind})` would free it.",
        )
    call, labels = _without_masks(call, labels, tracer)
    outputs = rule(call, labels, tracer)
    stray = [v.name for v in call.weights if id(v) not in tracer.bound]
    if stray:
        reason = f"`{call.path}` ({kind}) has weights that its rule does not know: {', '.join(stray)}."
        for x in (*labels, *outputs):
            tracer.units.freeze(x, reason)
    return outputs


def _quantization(operation):
    """How an operation or a part of it is quantized, or `None`."""
    parts = operation._flatten_layers() if isinstance(operation, keras.Layer) else ()
    return next((mode for part in parts if (mode := part.quantization_mode)), None)


def refuse(call, labels, tracer, why):
    """Freezes what reaches a call and what it has made, and gives its outputs labels of no unit.

    Args:
        call: The call.
        labels: The labels of its inputs.
        tracer: The `Tracer`.
        why: The reason from the verb on, with what would free the units.
    """
    reason = f"`{call.path}` ({type(call.operation).__name__}) {why}"
    weights = {id(variable) for variable in call.weights}
    made = [axis.labels for axis in tracer.axes.values() if id(axis.variable) in weights]
    for x in (*labels, *made):
        tracer.units.freeze(x, reason)
    tracer.bound |= weights
    return [fixed_labels(len(edge.shape)) for edge in call.outputs]


def _without_masks(call, labels, tracer):
    """A layer's call without the masks among its inputs: they say which places count, and hold no channels."""
    if len(call.inputs) < 2 or not _takes_mask(type(call.operation)):
        return call, labels
    known = dict(zip((edge.key for edge in call.inputs), labels, strict=True))
    others = {name: value for name, value in call.arguments.items() if not _is_mask(name)}
    kept = edges_among(list(others.values()))
    for edge in call.inputs:
        if edge not in kept and (known[edge.key] != FIXED).any():
            tracer.units.freeze(known[edge.key], f"`{call.path}` takes a mask from it.")
    return dataclasses.replace(call, inputs=tuple(kept)), [known[edge.key] for edge in kept]


@functools.cache
def _takes_mask(kind):
    """Whether a class of operations is a layer with a parameter for a mask."""
    parameters = inspect.signature(kind.call).parameters.values()
    return issubclass(kind, keras.Layer) and any(_is_mask(x.name) or x.kind is x.VAR_KEYWORD for x in parameters)


def _is_mask(name):
    return name.split("_")[-1] == "mask"
