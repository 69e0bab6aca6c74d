"""The rules that come with the library: importing a module enters its rules in the table."""

from cgap_keras.structure.rules import (
    applications,
    attention,
    contractions,
    convolution,
    dense,
    einsum,
    elementwise,
    merging,
    moving,
    normalization,
    operations,
    recurrent,
    reductions,
    reshaping,
    spatial,
    wrappers,
)

__all__ = [
    "applications",
    "attention",
    "contractions",
    "convolution",
    "dense",
    "einsum",
    "elementwise",
    "merging",
    "moving",
    "normalization",
    "operations",
    "recurrent",
    "reductions",
    "reshaping",
    "spatial",
    "wrappers",
]
