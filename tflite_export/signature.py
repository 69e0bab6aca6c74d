"""A Keras model seen from outside: named inputs, named outputs, and the function between them.

A file keeps the names, so the interpreter's answers are compared with the model's output by output, whatever
structure (one tensor, a list, a dict) the model was written with.
"""

import dataclasses

import keras
import numpy as np
from keras import tree

from cgap_keras.structure.graph import as_functional

_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Port:
    """One input or output: its name, its shape without the batch axis, its dtype."""

    name: str
    shape: tuple
    dtype: str


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a model, in the model's order, and whether its batch size is fixed to 1."""

    inputs: tuple
    outputs: tuple
    fixed_batch: bool = False


def read_signature(model):
    """The named inputs and outputs of a model.

    An input has the name of its `keras.Input`, an output the name of the layer that makes it, with `_1`, `_2`, ...
    behind a name that comes again.

    Args:
        model: A built functional or Sequential `keras.Model`.

    Returns:
        A `Signature`.

    Raises:
        ValueError: If the model is not functional or not built, if a size other than the batch is open, or if the
            batch size is fixed to another number than 1.
    """
    functional = as_functional(model)
    inputs = tuple(_port(_input_name(tensor), tensor, model) for tensor in functional.inputs)
    outputs = zip(_unique(functional.output_names), functional.outputs, strict=True)
    fixed_batch = any(tensor.shape[0] is not None for tensor in functional.inputs)
    return Signature(inputs, tuple(_port(name, tensor, model) for name, tensor in outputs), fixed_batch)


def call(model, tensors):
    """Calls a model in inference mode.

    Args:
        model: A functional or Sequential model.
        tensors: Dict from input name to a tensor or array with a batch axis.

    Returns:
        The output tensors in the order of `Signature.outputs`.
    """
    functional = as_functional(model)
    inputs = tree.pack_sequence_as(functional.input, [tensors[_input_name(tensor)] for tensor in functional.inputs])
    return tree.flatten(functional(inputs, training=False))


def predict(model, signature, data):
    """The model's outputs, computed on the CPU.

    Accelerators round products of float32 to fewer bits by default, which would be held against the file.

    Args:
        model: A functional or Sequential model.
        signature: Its `Signature`.
        data: Dict from input name to an array of samples.

    Returns:
        Dict from output name to a NumPy array of as many samples.
    """
    count = len(next(iter(data.values())))
    batch = as_functional(model).inputs[0].shape[0] or _BATCH
    parts = []
    with keras.device("cpu:0"):
        for start in range(0, count, batch):
            inputs = {name: keras.ops.convert_to_tensor(x[start : start + batch]) for name, x in data.items()}
            parts.append([keras.ops.convert_to_numpy(y) for y in call(model, inputs)])
    return {
        port.name: np.concatenate(outputs)
        for port, outputs in zip(signature.outputs, zip(*parts, strict=True), strict=True)
    }


def _port(name, tensor, model):
    batch, *shape = tensor.shape
    if None in shape or batch not in (None, 1):
        raise ValueError(
            "A file has fixed shapes, so every size of an input or output but the batch must be "
            "known, and the batch open or 1. Give `keras.Input` a full shape. "
            f"Received: model={model.name!r}, whose {name!r} has the shape {tensor.shape}"
        )
    return Port(name, tuple(shape), keras.backend.standardize_dtype(tensor.dtype))


def _unique(names):
    unique = []
    for name in names:
        candidate, count = name, 0
        while candidate in unique:
            count += 1
            candidate = f"{name}_{count}"
        unique.append(candidate)
    return unique


def _input_name(tensor):
    """The name of the input layer: that of an unnamed symbolic tensor is another one after saving and loading."""
    return tensor._keras_history.operation.name
