"""The rules that come with the library: importing a module enters its rules in the table."""

from cgap_keras.structure.rules import convolution, dense, elementwise, merging, normalization, reshaping, spatial

__all__ = ["convolution", "dense", "elementwise", "merging", "normalization", "reshaping", "spatial"]
