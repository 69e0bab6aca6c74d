"""The workload of a .tflite file.

The converter has already folded batch normalisation and fused activations, so there is less to fuse than in a Keras
model. The layout is the FlatBuffers schema of TensorFlow Lite (tensorflow/compiler/mlir/lite/schema/schema.fbs).
"""

import collections
import pathlib

from tflite_export.fpga.loops.builder import Builder, Refusal
from tflite_export.fpga.loops.geometry import plane, streamed, window
from tflite_export.fpga.loops.layer import Layer
from tflite_export.fpga.loops.transposed import sub_pixel

FREE = ("CAST", "DEQUANTIZE", "EXPAND_DIMS", "QUANTIZE", "RESHAPE", "SQUEEZE")
POINTWISE = (
    "ELU",
    "GELU",
    "HARD_SWISH",
    "LEAKY_RELU",
    "LOGISTIC",
    "PRELU",
    "RELU",
    "RELU6",
    "RELU_0_TO_1",
    "RELU_N1_TO_1",
) + ("TANH",)
ELEMENTWISE = ("ADD", "MAXIMUM", "MINIMUM", "MUL", "SUB")
SOFTMAX = ("LOG_SOFTMAX", "SOFTMAX")
UPSAMPLING = ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
SHAPE_TYPES = ("INT32", "INT64")


def tflite_workload(path):
    """Reads the loop nests of the first subgraph of a .tflite file.

    Args:
        path: The path of the file.

    Returns:
        A tuple of `Layer`, named after the tensors that they write.

    Raises:
        ValueError: If the file is no TFLite file, or has operators that the accelerator does not run.
    """
    content = pathlib.Path(path).read_bytes()
    if content[4:8] != b"TFL3":
        raise ValueError(f"`model` must be a Keras model or the path of a .tflite file. Received: model={str(path)!r}")
    graph = _Graph(content)
    builder = Builder(graph.inputs, graph.shapes, graph.uses)
    for operator in graph.operators:
        _read(operator, graph, builder)
    return builder.finish(str(path))


class _Graph:
    """The operators of a file with their tensors, constants told apart."""

    def __init__(self, content):
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromPackedBuf(content, 0)
        graph = model.subgraphs[0]
        self.names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
        self.same = schema.Padding.SAME
        self._codes, self._buffers, self._tensors = model.operatorCodes, model.buffers, graph.tensors
        types = {code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
        self.types = [types[tensor.type] for tensor in graph.tensors]
        self.operators = graph.operators or []
        self.inputs = [int(index) for index in graph.inputs]
        self.shapes = {
            i: tuple(int(n) for n in x.shape) if x.shape is not None else (1,) for i, x in enumerate(graph.tensors)
        }
        self.constant = {i for i, x in enumerate(graph.tensors) if self.data(i) is not None}
        # Whoever asks for a tensor's shape does not read it.
        readers = [op for op in self.operators if self.kind(op) != "SHAPE"]
        self.uses = collections.Counter(int(i) for op in readers for i in op.inputs)
        self.uses.update(int(index) for index in graph.outputs)

    def kind(self, operator):
        """The name of an operator, `"CONV_2D"`; a custom one by its own name."""
        code = self._codes[operator.opcodeIndex]
        if code.customCode:
            return code.customCode.decode()
        return self.names[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def name(self, index):
        """The name of a tensor."""
        name = self._tensors[index].name
        return name.decode() if isinstance(name, bytes) else str(name)

    def data(self, index):
        """The bytes of a constant, or `None`."""
        data = self._buffers[self._tensors[index].buffer].data
        return data if data is not None and len(data) else None

    def integers(self, index):
        """The values of a constant of integers."""
        width = 8 if self.types[index] == "INT64" else 4
        raw = bytes(self.data(index))
        return [int.from_bytes(raw[i : i + width], "little", signed=True) for i in range(0, len(raw), width)]


def _read(operator, graph, builder):
    kind, target = graph.kind(operator), int(operator.outputs[0])
    inputs = [int(i) for i in operator.inputs if i >= 0]
    name, active = graph.name(target), [i for i in inputs if i not in graph.constant]
    if not active or graph.types[target] in SHAPE_TYPES:
        # Weights that are unpacked at load time, and the arithmetic of shapes.
        graph.constant.update(int(i) for i in operator.outputs)
    elif any(builder.is_on_host(i) for i in active):
        if kind in FREE + SOFTMAX:
            builder.stay_on_host([target])
        else:
            builder.refuse(name, kind, "it reads what a softmax on the host computes")
    elif kind in FREE:
        builder.alias(active[0], target)
    elif kind in SOFTMAX:
        builder.finish_on_host(name, target)
    elif kind in ("PAD", "PADV2"):
        _pad(name, inputs, target, graph, builder)
    elif kind in POINTWISE or (kind in ELEMENTWISE and len(active) == 1 and len(inputs) == 2):
        parameters = sum(_size(graph.shapes[i]) for i in inputs if i in graph.constant)
        builder.pointwise(name, active[0], target, parameters)
    elif kind in _RULES:
        _lower(kind, name, operator, inputs, graph, builder)
    else:
        builder.refuse(name, kind)


def _lower(kind, name, operator, inputs, graph, builder):
    target, rule = int(operator.outputs[0]), _RULES[kind]
    active = [i for i in inputs if i not in graph.constant]
    shapes, zeros = builder.sources(name, active, window=rule in (_convolution, _depthwise, _pool))
    out = graph.shapes[target]
    operands = [graph.shapes[i] for i in inputs]
    try:
        builder.append(rule(name, operator.builtinOptions, shapes, out, zeros, operands, graph), target)
    except Refusal as refusal:
        builder.refuse(name, kind, str(refusal))


def _pad(name, inputs, target, graph, builder):
    amounts = graph.integers(inputs[1]) if inputs[1] in graph.constant and graph.data(inputs[1]) is not None else []
    pairs = [tuple(amounts[i : i + 2]) for i in range(0, len(amounts), 2)]
    if len(pairs) != 4 or pairs[0] != (0, 0) or pairs[3] != (0, 0):
        builder.refuse(name, "PAD", "of other axes than height and width")
    else:
        builder.alias(inputs[0], target, (pairs[2], pairs[1]))


def _size(shape):
    width, height, maps = plane((1, *shape)) if len(shape) < 3 else plane(shape)
    return width * height * maps


def _window(options, kernel, shape, out, zeros, graph):
    stride = (options.strideW, options.strideH)
    dilation = (getattr(options, "dilationWFactor", 1), getattr(options, "dilationHFactor", 1))
    mode = "same" if options.padding == graph.same else "valid"
    return window(plane(out), plane(shape), kernel, stride, dilation, mode, zeros)


def _convolution(name, options, shapes, out, zeros, operands, graph):
    n_of, n_ky, n_kx, n_if = operands[1]
    groups, biases = plane(shapes[0])[2] // n_if, n_of if len(operands) > 2 else 0
    loops = _window(options, (n_kx, n_ky), shapes[0], out, zeros, graph)
    return (
        Layer(name, "depthwise" if n_if == 1 < groups else "conv", n_if=n_if, groups=groups, biases=biases, **loops),
    )


def _depthwise(name, options, shapes, out, zeros, operands, graph):
    _, n_ky, n_kx, n_of = operands[1]
    loops = _window(options, (n_kx, n_ky), shapes[0], out, zeros, graph)
    biases = n_of if len(operands) > 2 else 0
    return (Layer(name, "depthwise", groups=plane(shapes[0])[2], biases=biases, **loops),)


def _transposed(name, options, shapes, out, zeros, operands, graph):
    _, (_, n_ky, n_kx, n_if), _, *bias = operands
    loops = _window(options, (n_kx, n_ky), shapes[0], out, zeros, graph)
    return sub_pixel(name, n_if, loops["n_of"] if bias else 0, loops)


def _fully_connected(name, options, shapes, out, zeros, operands, graph):
    n_of, n_if = operands[1]
    positions, biases = _size(out) // n_of, n_of if len(operands) > 2 else 0
    kind = "fully_connected" if positions == 1 else "conv"
    return (Layer(name, kind, n_if=n_if, n_ox=positions, n_of=n_of, biases=biases),)


def _pool(name, options, shapes, out, zeros, operands, graph):
    loops = _window(options, (options.filterWidth, options.filterHeight), shapes[0], out, zeros, graph)
    return (Layer(name, "pool", groups=loops["n_of"], **loops),)


def _mean(name, options, shapes, out, zeros, operands, graph):
    n_ix, n_iy, maps = plane(shapes[0])
    if len(shapes[0]) != 4 or _size(out) != maps:
        raise Refusal("over other axes than height and width")
    return (Layer(name, "pool", n_kx=n_ix, n_ky=n_iy, n_of=maps, groups=maps),)


def _elementwise(name, options, shapes, out, zeros, operands, graph):
    return (streamed(name, "elementwise", out, shapes),)


def _upsample(name, options, shapes, out, zeros, operands, graph):
    return (streamed(name, "upsample", out, shapes[:1]),)


def _concatenate(name, options, shapes, out, zeros, operands, graph):
    n_ox, n_oy, n_of = plane(out)
    return (Layer(name, "concat", n_ox=n_ox, n_oy=n_oy, n_of=n_of, groups=n_of, operands=len(shapes)),)


_RULES = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "TRANSPOSE_CONV": _transposed,
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    "MEAN": _mean,
    "REDUCE_MAX": _mean,
    "CONCATENATION": _concatenate,
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(UPSAMPLING, _upsample),
}
