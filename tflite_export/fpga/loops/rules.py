"""How each Keras operation becomes loop nests: one rule for each layer family, looked up in a table."""

from keras import layers

from tflite_export.fpga.loops.geometry import plane, streamed, window
from tflite_export.fpga.loops.layer import Layer
from tflite_export.fpga.loops.transposed import sub_pixel

_RULES = {}

# Inference does not compute these, or only names the same elements in another shape.
FREE = (
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Dropout,
    layers.Flatten,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.RandomBrightness,
    layers.RandomContrast,
    layers.RandomFlip,
    layers.RandomRotation,
    layers.RandomTranslation,
    layers.RandomZoom,
    layers.Reshape,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
)
FREE_FUNCTIONS = ("ExpandDims", "Reshape", "Squeeze", "StopGradient")

# Each output element depends on the one input element beside it: done on the way out of the layer before.
POINTWISE = (
    layers.Activation,
    layers.BatchNormalization,
    layers.ELU,
    layers.LeakyReLU,
    layers.Normalization,
    layers.PReLU,
    layers.ReLU,
    layers.Rescaling,
)
POINTWISE_FUNCTIONS = (
    "Clip",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSilu",
    "HardTanh",
    "LeakyRelu",
    "Relu",
    "Relu6",
    "Sigmoid",
    "Silu",
    "Swish",
    "Tanh",
)
POINTWISE_ACTIVATIONS = frozenset(
    (
        "celu",
        "elu",
        "exponential",
        "gelu",
        "hard_sigmoid",
        "hard_silu",
        "hard_swish",
        "hard_tanh",
        "leaky_relu",
        "linear",
        "mish",
        "relu",
    )
    + ("relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "swish", "tanh")
)
SOFTMAX = ("softmax", "log_softmax")
AFFINE = (layers.BatchNormalization, layers.Normalization)

# What prepares the data in front of the network.
PREPARATION = (layers.Normalization, layers.Rescaling, layers.Resizing)

CONCATENATION_FUNCTIONS = ("Concatenate",)
ELEMENTWISE_FUNCTIONS = ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")


def lowering(*layer_classes):
    """Registers the function that turns a call of a layer class into loop nests.

    Args:
        *layer_classes: The `keras.Layer` classes that the rule is for; a subclass that keeps their `call` is meant too.

    Returns:
        A decorator for a function that takes a `cgap_keras.structure.graph.Call`, the shapes of its inputs (batch
        axis included, before any zero padding) and the zero padding `((left, right), (top, bottom))` in front of it,
        and returns a tuple of `Layer`, or raises `Refusal`.
    """

    def register(rule):
        _RULES.update(dict.fromkeys(layer_classes, rule))
        return rule

    return register


def find_rule(operation):
    """The rule of an operation, or `None`."""
    kind = type(operation)
    if not isinstance(operation, layers.Layer):
        return {
            **dict.fromkeys(CONCATENATION_FUNCTIONS, _concatenate),
            **dict.fromkeys(ELEMENTWISE_FUNCTIONS, elementwise),
        }.get(kind.__name__)
    return next(
        (_RULES[ancestor] for ancestor in kind.__mro__ if ancestor in _RULES and _same_call(kind, ancestor)), None
    )


def is_a(operation, classes, functions=()):
    """Whether an operation is one of some layers, a subclass computing the same, or a named `keras.ops` function."""
    kind = type(operation)
    if not isinstance(operation, layers.Layer):
        return kind.__name__ in functions
    return any(ancestor in classes and _same_call(kind, ancestor) for ancestor in kind.__mro__)


def is_window(operation):
    """Whether an operation slides a window, so that zeros in front of it can be supplied by its address generator."""
    return find_rule(operation) in (_convolution, _depthwise, _separable, _pool)


def elementwise(call, shapes, padding, kind="elementwise"):
    """The rule of element-by-element functions of several tensors."""
    return (streamed(call.path, kind, call.outputs[0].shape, shapes, channels_first(call)),)


def channels_first(call):
    """Whether the call's layer puts the maps before the pixels."""
    return getattr(call.operation, "data_format", None) == "channels_first"


def _same_call(kind, ancestor):
    # A subclass that computes something else is not the layer that the rule was written for.
    return kind.call is ancestor.call


def _pair(value):
    """An option of a layer as (x, y), from Keras's (y, x), (x,) or x."""
    if isinstance(value, int):
        return (value, value)
    return (value[-1], value[0]) if len(value) > 1 else (value[0], 1)


def _window(call, shape, padding, kernel, stride, dilation, mode):
    out, before = plane(call.outputs[0].shape, channels_first(call)), plane(shape, channels_first(call))
    return window(out, before, kernel, stride, dilation, mode, padding)


def _kernel_window(call, shape, padding):
    layer, one = call.operation, len(call.operation.kernel_size) == 1
    kernel, stride, dilation = (_pair(x) for x in (layer.kernel_size, layer.strides, layer.dilation_rate))
    if one:
        stride, dilation = (stride[0], 1), (dilation[0], 1)
    return _window(call, shape, padding, kernel, stride, dilation, layer.padding)


@lowering(layers.Conv1D, layers.Conv2D)
def _convolution(call, shapes, padding):
    layer, loops = call.operation, _kernel_window(call, shapes[0], padding)
    maps = plane(shapes[0], channels_first(call))[2]
    biases = loops["n_of"] if layer.use_bias else 0
    kind = "depthwise" if layer.groups == maps > 1 else "conv"
    return (Layer(call.path, kind, n_if=maps // layer.groups, groups=layer.groups, biases=biases, **loops),)


@lowering(layers.Conv1DTranspose, layers.Conv2DTranspose)
def _transposed(call, shapes, padding):
    loops = _kernel_window(call, shapes[0], padding)
    biases = loops["n_of"] if call.operation.use_bias else 0
    return sub_pixel(call.path, plane(shapes[0], channels_first(call))[2], biases, loops)


@lowering(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def _depthwise(call, shapes, padding):
    loops = _kernel_window(call, shapes[0], padding)
    maps = plane(shapes[0], channels_first(call))[2]
    biases = loops["n_of"] if call.operation.use_bias else 0
    return (Layer(call.path, "depthwise", groups=maps, biases=biases, **loops),)


@lowering(layers.SeparableConv1D, layers.SeparableConv2D)
def _separable(call, shapes, padding):
    layer, loops = call.operation, _kernel_window(call, shapes[0], padding)
    maps = plane(shapes[0], channels_first(call))[2]
    middle = maps * layer.depth_multiplier
    first = Layer(f"{call.path}/depthwise", "depthwise", groups=maps, **(loops | {"n_of": middle}))
    sizes = {name: loops[name] for name in ("n_ox", "n_oy", "n_of")}
    biases = loops["n_of"] if layer.use_bias else 0
    return first, Layer(f"{call.path}/pointwise", "conv", n_if=middle, biases=biases, **sizes)


@lowering(layers.Dense)
def _dense(call, shapes, padding):
    n_if, n_of = shapes[0][-1], call.outputs[0].shape[-1]
    n_ox, n_oy, _ = plane(shapes[0])
    kind = "fully_connected" if n_ox * n_oy == 1 else "conv"
    biases = n_of if call.operation.use_bias else 0
    return (Layer(call.path, kind, n_if=n_if, n_ox=n_ox, n_oy=n_oy, n_of=n_of, biases=biases),)


@lowering(layers.AveragePooling1D, layers.AveragePooling2D, layers.MaxPooling1D, layers.MaxPooling2D)
def _pool(call, shapes, padding):
    layer = call.operation
    kernel, stride = _pair(layer.pool_size), _pair(layer.strides)
    if len(call.outputs[0].shape) == 3:
        kernel, stride = (kernel[0], 1), (stride[0], 1)
    loops = _window(call, shapes[0], padding, kernel, stride, (1, 1), layer.padding)
    return (Layer(call.path, "pool", groups=loops["n_of"], **loops),)


@lowering(
    layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D
)
def _global_pool(call, shapes, padding):
    n_ix, n_iy, maps = plane(shapes[0], channels_first(call))
    return (Layer(call.path, "pool", n_kx=n_ix, n_ky=n_iy, n_of=maps, groups=maps),)


@lowering(layers.UpSampling1D, layers.UpSampling2D)
def _upsample(call, shapes, padding):
    return elementwise(call, shapes, padding, kind="upsample")


@lowering(layers.Concatenate)
def _concatenate(call, shapes, padding):
    n_ox, n_oy, n_of = plane(call.outputs[0].shape)
    return (Layer(call.path, "concat", n_ox=n_ox, n_oy=n_oy, n_of=n_of, groups=n_of, operands=len(shapes)),)


lowering(layers.Add, layers.Average, layers.Maximum, layers.Minimum, layers.Multiply, layers.Subtract)(elementwise)


def padding_of(call):
    """The zeros that a ZeroPadding layer adds, `((left, right), (top, bottom))`; `None` for any other operation."""
    if is_a(call.operation, (layers.ZeroPadding1D,)):
        return (tuple(call.operation.padding), (0, 0))
    if is_a(call.operation, (layers.ZeroPadding2D,)):
        rows, columns = call.operation.padding
        return (tuple(columns), tuple(rows))
    return None


def activation_of(operation):
    """The name of the activation function that a layer applies: `"linear"` where it has none."""
    function = getattr(operation, "activation", None)
    return "linear" if function is None else getattr(function, "__name__", type(function).__name__)


def is_softmax(operation):
    """Whether an operation is a softmax of its own."""
    if is_a(operation, (layers.Activation,)):
        return activation_of(operation) in SOFTMAX
    return is_a(operation, (layers.Softmax,), ("Softmax", "LogSoftmax"))
