"""What a model costs, in all and for each layer: parameters, multiply-accumulates, FLOPs and bytes."""

import dataclasses
import math
import re

import keras

from cgap_keras.macs import count_macs
from cgap_keras.structure.graph import trace

# Weights that follow the data instead of being learned. Counting these by layer class, not by `trainable`, keeps the
# count of a model the same when a layer is frozen or quantized.
_STATISTICS = {
    keras.layers.BatchNormalization: ("moving_mean", "moving_variance"),
    keras.layers.Normalization: ("adapt_mean", "adapt_variance", "count"),
    keras.layers.SpectralNormalization: ("vector_u",),
}


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """The cost of one layer; the fields that `Cost` has too are meant as there.

    Attributes:
        path: The layer's path, as in `cgap_keras.structure.graph.Call`.
        type: The name of its class.
        params: Its parameters.
        macs: Its multiply-accumulates, all its calls added up.
        flops: Two a multiply-accumulate.
        bytes: The size of its parameters.
        output_shape: The shape of its first output at its first call, the batch axis included as `None`.
    """

    path: str
    type: str
    params: int
    macs: int
    flops: int
    bytes: int
    output_shape: tuple


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a model for one input, a batch of one. `str(cost)` is a table.

    Attributes:
        params: Learned parameters: every weight except the running statistics of a normalisation, which inference folds
            away, and the state of random generators. It does not depend on `layer.trainable`. Published sizes count so.
        macs: Multiply-accumulates of convolutions, dense, recurrent and attention layers, as `cgap_keras.macs` counts
            them.
        flops: Two a multiply-accumulate: the multiplication and the addition.
        bytes: The size of `params` in memory, each at the width of its dtype. A file also holds a graph, and stores
            what its own quantization says.
        layers: A `LayerCost` for each layer, in the order of execution. A shared layer has one row: its parameters
            once, its multiply-accumulates as often as it is called.
    """

    params: int
    macs: int
    flops: int
    bytes: int
    layers: tuple

    def __str__(self):
        header = ("layer", "type", "output", "params", "MACs", "bytes")
        rows = [(x.path, x.type, x.output_shape, x.params, x.macs, x.bytes) for x in self.layers]
        return _table([header, *rows, ("total", "", "", self.params, self.macs, self.bytes)])


def cost(model):
    """Counts what a model costs, in all and for each layer.

    Sources of the formulas: a convolution of kernel `k x k` takes `k * k * (channels_in / groups) * channels_out`
    multiply-accumulates for each output pixel, a dense layer one for each weight (Sze et al., "Efficient Processing of
    Deep Neural Networks: A Tutorial and Survey", 2017, section III); the other families follow from the matrix products
    in their definitions.

    Args:
        model: A functional or Sequential `keras.Model`, with every input size known but the batch.

    Returns:
        A `Cost`.

    Raises: ValueError: If the model is not functional, if a layer with weights has no rule, or if an input size is not
        known.

    Example:

    ```python
    before = cost(model)
    print(before)
    print(f"{before.params / 1e6:.2f} M parameters, {before.macs / 1e6:.1f} M MACs")
    ```
    """
    rows, seen = {}, set()
    for call in trace(model).calls:
        key = id(call.operation)
        if key not in rows:
            rows[key] = _new_row(call, seen)
        macs = rows[key].macs + count_macs(call)
        rows[key] = dataclasses.replace(rows[key], macs=macs, flops=2 * macs)
    layers = tuple(rows.values())
    params, macs, size = (sum(getattr(row, name) for row in layers) for name in ("params", "macs", "bytes"))
    return Cost(params=params, macs=macs, flops=2 * macs, bytes=size, layers=layers)


def _new_row(call, seen):
    """A row without its multiply-accumulates. `seen`: the variables counted so far, so that tied weights count once."""
    parameters = [v for v in counted_weights(call.operation) if id(v) not in seen]
    seen.update(id(v) for v in parameters)
    return LayerCost(
        path=call.path,
        type=type(call.operation).__name__,
        params=sum(math.prod(v.shape) for v in parameters),
        macs=0,
        flops=0,
        bytes=sum(math.ceil(math.prod(v.shape) * _bits(v.dtype) / 8) for v in parameters),
        output_shape=call.outputs[0].shape,
    )


def counted_weights(operation):
    """The weights of a layer that `Cost.params` counts, a list of `keras.Variable`."""
    if not isinstance(operation, keras.Layer):
        return []
    statistics = set()
    for layer in operation._flatten_layers():
        for kind, names in _STATISTICS.items():
            if isinstance(layer, kind):
                statistics.update(id(getattr(layer, name, None)) for name in names)
    return [v for v in operation.weights if id(v) not in statistics]


def _bits(dtype):
    """The bits of one element: the first number in the dtype's name (`bfloat16`, `float8_e5m2`); a byte for `bool`."""
    digits = re.search(r"\d+", dtype)
    return int(digits.group()) if digits else 8


def _table(rows):
    """Rows of cells as text: words to the left, numbers to the right with their thousands apart."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    aligned = []
    for column, column_cells in enumerate(zip(*cells, strict=True)):
        width = max(map(len, column_cells))
        # The columns of words come first.
        aligned.append([cell.ljust(width) if column < 3 else cell.rjust(width) for cell in column_cells])
    lines = ["  ".join(row) for row in zip(*aligned, strict=True)]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
