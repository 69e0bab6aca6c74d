"""Sparsity, clustering and quantization-aware training, by tensorflow-model-optimization in a process of its own."""

from tflite_export.tfmot.api import Optimized, optimize
from tflite_export.tfmot.techniques import (
    ClusterWeights,
    ConstantSparsity,
    PolynomialDecay,
    PruneLowMagnitude,
    QuantizeModel,
)

__all__ = [
    "ClusterWeights",
    "ConstantSparsity",
    "Optimized",
    "PolynomialDecay",
    "PruneLowMagnitude",
    "QuantizeModel",
    "optimize",
]
