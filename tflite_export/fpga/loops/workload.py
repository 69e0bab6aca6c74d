"""A network as the sequence of loop nests that an accelerator runs."""

import collections
import os

from cgap_keras.structure.graph import trace
from tflite_export.fpga.loops import rules
from tflite_export.fpga.loops.builder import Builder, Refusal
from tflite_export.fpga.loops.tflite import tflite_workload


def workload(model):
    """Reads the loop nests of a network, in the order of execution.

    Batch normalisation and activations are done by the layer before them on the way out, where no other layer reads
    what lies between, and are named in its `fused`; otherwise they are an elementwise layer. Zero padding belongs to
    the convolution or pooling that reads it. Flatten, Dropout and Reshape cost nothing. Concatenation costs nothing,
    because its inputs are written to where they belong. A softmax that ends the network, and the preparation of data in
    front of it, run on the host: their rows are of kind `"host"`.

    Args:
        model: A functional or Sequential `keras.Model` with every size known but the batch, or the path of a .tflite
            file.

    Returns:
        A tuple of `Layer`. For a Keras model the sum of their `macs` is `cgap_keras.cost(model).macs`.

    Raises:
        ValueError: If the model has operations that the accelerator does not run; all of them are named. If a size is
            not known.

    Example:

    ```python
    for layer in workload(model):
        print(layer.name, layer.kind, layer.macs)
    ```
    """
    if isinstance(model, (str, os.PathLike)):
        return tflite_workload(model)
    return graph_workload(trace(model), model.name)


def graph_workload(graph, name):
    """The loop nests of a traced Keras model, see `workload`.

    Args:
        graph: A `cgap_keras.structure.graph.Graph`.
        name: What the model is called, for errors.

    Returns:
        A tuple of `Layer`.
    """
    uses = collections.Counter(edge.key for call in graph.calls for edge in call.inputs)
    uses.update(edge.key for edge in graph.outputs)
    shapes = {edge.key: edge.shape for edge in graph.inputs}
    shapes.update((edge.key, edge.shape) for call in graph.calls for edge in call.outputs)
    builder = Builder([edge.key for edge in graph.inputs], shapes, uses)
    for call in graph.calls:
        _read(call, builder)
    return builder.finish(name)


def _read(call, builder):
    """Takes one call in: as rows, as part of an earlier row, or as refused."""
    operation, targets = call.operation, [edge.key for edge in call.outputs]
    source, free = call.inputs[0].key, rules.is_a(operation, rules.FREE, rules.FREE_FUNCTIONS)
    if any(builder.is_on_host(edge.key) for edge in call.inputs):
        if free or rules.is_softmax(operation):
            builder.stay_on_host(targets)
        else:
            _refuse(call, builder, "it reads what a softmax on the host computes")
    elif free:
        builder.alias(source, targets[0])
    elif rules.padding_of(call) is not None:
        builder.alias(source, targets[0], rules.padding_of(call))
    elif rules.is_softmax(operation):
        builder.finish_on_host(call.path, targets[0])
    elif rules.is_a(operation, rules.PREPARATION) and builder.is_input(source):
        builder.prepare_on_host(call.path, targets[0])
    else:
        _compute(call, builder)


def _compute(call, builder):
    operation, target = call.operation, call.outputs[0].key
    pointwise = rules.is_a(operation, rules.POINTWISE, rules.POINTWISE_FUNCTIONS)
    rule, activation = rules.find_rule(operation), rules.activation_of(operation)
    if rule is None and not pointwise:
        _refuse(call, builder)
    elif activation not in rules.POINTWISE_ACTIVATIONS and activation not in rules.SOFTMAX:
        _refuse(call, builder, f"its activation {activation} is not known to work element by element")
    elif pointwise:
        parameters = 2 * call.outputs[0].shape[-1] if rules.is_a(operation, rules.AFFINE) else 0
        builder.pointwise(call.path, call.inputs[0].key, target, parameters)
    else:
        _lower(call, rule, builder)
        if activation in rules.SOFTMAX:
            builder.finish_on_host(f"{call.path}/softmax", target)


def _lower(call, rule, builder):
    keys, is_window = [edge.key for edge in call.inputs], rules.is_window(call.operation)
    try:
        builder.append(rule(call, *builder.sources(call.path, keys, is_window)), call.outputs[0].key)
    except Refusal as refusal:
        _refuse(call, builder, str(refusal))


def _refuse(call, builder, reason=None):
    builder.refuse(call.path, type(call.operation).__name__, reason)
