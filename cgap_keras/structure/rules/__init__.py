"""The rules that come with the library: importing a module enters its rules in the table."""

from cgap_keras.structure.rules import (
    applications,
    attention,
    convolution,
    dense,
    einsum,
    elementwise,
    merging,
    normalization,
    operations,
    recurrent,
    reshaping,
    spatial,
    wrappers,
)

__all__ = [
    "applications",
    "attention",
    "convolution",
    "dense",
    "einsum",
    "elementwise",
    "merging",
    "normalization",
    "operations",
    "recurrent",
    "reshaping",
    "spatial",
    "wrappers",
]
