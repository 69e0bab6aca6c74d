"""Operations of `keras.ops` that treat every element apart, or every channel."""

import numpy as np
from keras.src.ops import core, image, math, nn
from keras.src.ops import numpy as knp

from cgap_keras.structure.labelling import refuse
from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.merging import merge, operands_of
from cgap_keras.structure.rules.spatial import per_channel

UNARY = (
    "Abs Absolute Arccos Arccosh Arcsin Arcsinh Arctan Arctanh Cbrt Ceil Copy Cos Cosh Deg2rad Exp Exp2 Expm1 Fabs "
    "Floor Isfinite Isinf Isnan Log Log10 Log1p Log2 LogicalNot NanToNum Negative OnesLike Rad2deg Reciprocal Round "
    "Sign Signbit Sin Sinc Sinh Sqrt Square Tan Tanh Trunc ZerosLike"
)
UNARY_NN = (
    "Celu Elu Gelu HardShrink HardSigmoid HardSilu HardTanh LeakyRelu LogSigmoid Relu Relu6 Selu Sigmoid Silu "
    "SoftShrink Softplus Softsign SparsePlus SparseSigmoid Squareplus TanhShrink Threshold"
)
BINARY = (
    "Add Arctan2 Divide DivideNoNan Equal FloorDivide Fmax Fmin Fmod Greater GreaterEqual Heaviside Hypot Isclose Less "
    "LessEqual Logaddexp Logaddexp2 LogicalAnd LogicalOr LogicalXor Maximum Minimum Mod Multiply NotEqual Power "
    "Subtract TrueDivide Where"
)


def named(module, names):
    """The operations of a module by name; some come and go with releases of Keras."""
    return [getattr(module, name) for name in names.split() if hasattr(module, name)]


@rule(
    *named(knp, UNARY),
    *named(nn, UNARY_NN),
    *named(math, "Erf Erfc Erfinv Rsqrt"),
    *named(core, "Cast ConvertToTensor SaturateCast StopGradient"),
)
def unary(call, labels, tracer):
    """Every element stays with its unit."""
    return [labels[0]]


@rule(knp.Clip)
def clip(call, labels, tracer):
    """Every element stays with its unit, where one number bounds them all."""
    if np.ndim(call.operation.x_min) or np.ndim(call.operation.x_max):
        return refuse(call, labels, tracer, "has bounds of fixed width; use one number for all.")
    return [labels[0]]


@rule(*named(knp, BINARY))
def binary(call, labels, tracer):
    """Elements of tensors, numbers and arrays meet one to one, with broadcasting."""
    return [merge(call, operands_of(call, labels), tracer)]


rule(nn.MaxPool, nn.AveragePool, nn.AdaptiveMaxPool, nn.AdaptiveAveragePool, image.Resize)(per_channel)
