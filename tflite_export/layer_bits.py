"""Bit widths by layer: which operators of a file come from which layer of the model.

TFLite names a tensor after the layer that made it, but a name comes again with a number behind it for every call, every
twin in another model and whatever else has it. So the layers get names of one kind before the conversion, and are found
again by those.
"""

import re

from ai_edge_litert import schema_py_generated as schema

from cgap_keras.structure.graph import trace

# Weights of a layer: of four or eight bits, or left as they are.
BITS = (4, 8, 32)
# Behind the name of a layer; TensorFlow may put a number of its own behind it.
_MARK = re.compile(r"__(\d+)__(_\d+)?$")


def check_weight_bits(weight_bits, model, rows):
    """Refuses bit widths for what is no layer with a kernel, or that none of the files would heed.

    Args:
        weight_bits: Dict from the path of a layer, `"conv2d_3"` or `"encoder/dense"`, to 4, 8 or 32; or `None`.
        model: A functional or Sequential model.
        rows: The `Quantization`s that are asked.

    Returns:
        A dict.

    Raises:
        ValueError: Names what does not fit.
    """
    if weight_bits is None:
        return {}
    able = [row.name for row in rows if row.by_layer]
    paths = sorted(_kernel_layers(model))
    fits = isinstance(weight_bits, dict) and set(weight_bits) <= set(paths) and set(weight_bits.values()) <= set(BITS)
    if not fits or not able:
        raise ValueError(
            f"`weight_bits` must be a dict from layers with a kernel ({', '.join(paths)}) to {BITS}, for a "
            f"quantization that heeds it: int8_dynamic or int4_weights. Received: weight_bits={weight_bits!r}, "
            f"quantization={[row.name for row in rows]}"
        )
    return dict(weight_bits)


def _kernel_layers(model):
    """`{path: layer}` of the layers with a weight of two axes or more, in graph order."""
    calls = {call.path: call.operation for call in trace(model).calls}
    return {
        path: layer
        for path, layer in calls.items()
        if any(len(weight.shape) > 1 for weight in getattr(layer, "weights", ()))
    }


def mark_layers(model):
    """Renames the layers with a kernel, so that their operators can be told in a file.

    Args:
        model: A functional or Sequential model that is not used for anything else.

    Returns:
        Dict from the path of a layer to its mark, an integer.
    """
    marks = {}
    for mark, (path, layer) in enumerate(_kernel_layers(model).items()):
        marks[path] = mark
        layer.name = f"{layer.name}__{mark}__"
    return marks


def operators_by_mark(content):
    """The operators that hold the weights of marked layers.

    Args:
        content: The bytes of a .tflite file made from a model with marked layers.

    Returns:
        Dict from a mark to a list of the names of the output tensors of operators.
    """
    graph, found = schema.Model.GetRootAs(content, 0).Subgraphs(0), {}
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        output = graph.Tensors(operator.Outputs(0)).Name().decode()
        inputs = [graph.Tensors(j).Name().decode() for j in operator.InputsAsNumpy() if j >= 0]
        # The weight of an operator is its second input. Where two weights are equal, its name is of neither layer.
        for mark in _marks(inputs[1:2]) or _marks([output]):
            found.setdefault(mark, []).append(output)
    return found


def _marks(names):
    parts = [part for name in names for part in re.split("[/;]", name)]
    return sorted({int(match[1]) for match in map(_MARK.search, parts) if match})
