"""What is in a .tflite file, read from the file itself: operators, types of tensors, the grids of quantized outputs.

The layout is the FlatBuffers schema of TensorFlow Lite (tensorflow/compiler/mlir/lite/schema/schema.fbs).
"""

import dataclasses

from ai_edge_litert import schema_py_generated as schema

_FLOATS = ("FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64")
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_OPERATOR_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_TYPE_NAMES = {code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")}


@dataclasses.dataclass(frozen=True)
class Contents:
    """The contents of a file.

    Attributes:
        operators: The names of the operators in execution order, `"CONV_2D"`, a custom one as `"CUSTOM:FlexErf"`.
        float_operators: `"NAME (tensor)"` of each operator that computes on float tensors; conversions between float
            and integers are left out.
        float_weights: Names of the constant float32 tensors with two axes or more: the weights that are not quantized.
        output_steps: Dict from output name to the distance of neighbouring values where it comes from integers, else 0.
    """

    operators: tuple
    float_operators: tuple
    float_weights: tuple
    output_steps: dict


def read_contents(path):
    """Reads the contents of a .tflite file.

    Args:
        path: The path of the file.

    Returns:
        A `Contents`.

    Raises:
        ValueError: If the file is no TFLite file.
    """
    with open(path, "rb") as file:
        content = file.read()
    if content[4:8] != b"TFL3":
        raise ValueError(f"`path` must name a TFLite file. Received: path={str(path)!r}, which is none")
    model = schema.Model.GetRootAs(content, 0)
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    operators = [(_operator_name(model, op), op, graph) for graph in graphs for op in _operators(graph)]
    return Contents(
        operators=tuple(name for name, _, _ in operators),
        float_operators=tuple(_float_operators(operators)),
        float_weights=tuple(name for graph in graphs for name in _float_weights(model, graph)),
        output_steps=_output_steps(model, graphs),
    )


def _operators(graph):
    return [graph.Operators(i) for i in range(graph.OperatorsLength())]


def _operator_name(model, operator):
    code = model.OperatorCodes(operator.OpcodeIndex())
    # Codes up to 127 were once kept in another field; both are written, and the larger one holds.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == schema.BuiltinOperator.CUSTOM:
        return f"CUSTOM:{code.CustomCode().decode()}"
    return _OPERATOR_NAMES.get(number, f"OPERATOR_{number}")


def _type(tensor):
    return _TYPE_NAMES[tensor.Type()]


def _tensors(graph, indices):
    return [graph.Tensors(int(i)) for i in indices if i >= 0]


def _float_operators(operators):
    for name, operator, graph in operators:
        tensors = _tensors(graph, [operator.Outputs(i) for i in range(operator.OutputsLength())])
        if name not in _CONVERSIONS and any(_type(tensor) in _FLOATS for tensor in tensors):
            yield f"{name} ({tensors[0].Name().decode()})"


def _float_weights(model, graph):
    for tensor in _tensors(graph, range(graph.TensorsLength())):
        buffer = model.Buffers(tensor.Buffer())
        # Large ones lie behind the FlatBuffer, where `Offset` says.
        constant = buffer.DataLength() > 0 or buffer.Size() > 0
        if constant and _type(tensor) == "FLOAT32" and tensor.ShapeLength() >= 2:
            yield tensor.Name().decode()


def _output_steps(model, graphs):
    """The step of each output of the signature; of a float output, that of the integers that it is dequantized from."""
    signature, steps = model.SignatureDefs(0), {}
    graph = graphs[signature.SubgraphIndex()]
    sources = {
        operator.Outputs(0): operator.Inputs(0)
        for operator in _operators(graph)
        if _operator_name(model, operator) == "DEQUANTIZE"
    }
    for i in range(signature.OutputsLength()):
        output = signature.Outputs(i)
        index = output.TensorIndex()
        quantization = graph.Tensors(sources.get(index, index)).Quantization()
        known = quantization is not None and quantization.ScaleLength() > 0
        steps[output.Name().decode()] = float(quantization.Scale(0)) if known else 0.0
    return steps
