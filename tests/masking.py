"""The masked original: what a pruned model has to equal, found without the library's knowledge of who reads a unit.

The original graph runs layer by layer. The caller says which slices of which weights make the pruned units, and nothing
else. From there on every tensor has a *mark* at the elements that belong to a pruned unit:

- A layer that mixes channels through weights (`READERS`) gets zeros at the marked elements. Its own pruned slices mark
  the channels of its output.
- Any other layer runs on several random fillings of the marked elements. What changes in its output is marked. A layer
  that mixes channels and is not in the table therefore spreads the marks, as far as the outputs of the model, where
  none may arrive.
- A layer with units inside (recurrent layers, attention) runs with zeros in the weights that read them.
"""

import contextlib
import dataclasses
import functools

import keras
import numpy as np
from keras import layers, ops, tree
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask
from keras.src.ops import nn
from keras.src.ops import numpy as knp

CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
PADDING = (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
ATTENTION = (layers.MultiHeadAttention, layers.GroupQueryAttention)
READERS = (
    *CONVOLUTIONS,
    *TRANSPOSED,
    *SEPARABLE,
    *ATTENTION,
    layers.RNN,
    layers.Dense,
    layers.EinsumDense,
    layers.Embedding,
    layers.Bidirectional,
)
# Where a statistic is taken of one place alone, what comes out is a constant.
PLACE_BY_PLACE = (
    layers.BatchNormalization,
    layers.GroupNormalization,
    layers.LayerNormalization,
    layers.RMSNormalization,
    layers.UnitNormalization,
    layers.Softmax,
    nn.Softmax,
)
CHOICES = (knp.Where, knp.Equal, knp.NotEqual, knp.Greater, knp.Less)
# How often the marked elements are filled with large positive and with large negative numbers.
FILLINGS = (1, 1, -1, -1)


@dataclasses.dataclass(frozen=True)
class Marked:
    """A tensor, and which of its elements belong to pruned units."""

    value: object
    marks: np.ndarray


def run_masked(model, inputs, pruned):
    """Runs a model as if some of its units did not exist.

    Args:
        model: A functional or Sequential model.
        inputs: Its inputs, a list of arrays.
        pruned: The slices that make the pruned units: `{id(variable): {axis: positions}}`.

    Returns:
        The outputs, a list of arrays, and a list of arrays that say which of their elements belong to pruned units.
    """
    marked = [Marked(ops.convert_to_tensor(x), np.zeros(x.shape, bool)) for x in inputs]
    outputs = tree.flatten(_run_graph(model, marked, pruned))
    return [ops.convert_to_numpy(x.value) for x in outputs], [x.marks for x in outputs]


def _run_graph(model, inputs, pruned):
    graph = getattr(model, "_functional", None) or model
    return graph._run_through_graph(inputs, operation_fn=lambda operation: functools.partial(_run, operation, pruned))


def _run(operation, pruned, *args, **kwargs):
    if isinstance(operation, keras.Model):
        return _run_graph(operation, tree.flatten((args, kwargs)), pruned)
    layer = _innermost(operation)
    if isinstance(layer, keras.Model):
        return _run_at_every_step(layer, args[0], pruned)
    if _reads(layer, args):
        call = _caller(operation, *_map(_zeroed, (args, kwargs)))
        with _without_inner_units(layer, pruned):
            outputs = call()
        return tree.map_structure(lambda x: Marked(x, _made_marks(layer, x, pruned)), outputs)
    args = _without_terms(layer, args)
    outputs = _caller(operation, *_map(lambda x: x.value, (args, kwargs)))()
    marks = _changes(operation, layer, args, kwargs, outputs)
    return tree.map_structure(Marked, outputs, tree.pack_sequence_as(outputs, marks))


def _run_at_every_step(model, x, pruned):
    """A model inside `TimeDistributed`."""
    steps = [
        _run_graph(model, [Marked(x.value[:, time], x.marks[:, time])], pruned) for time in range(x.marks.shape[1])
    ]
    return Marked(ops.stack([step.value for step in steps], 1), np.stack([step.marks for step in steps], 1))


def _innermost(operation):
    while isinstance(operation, layers.Wrapper):
        operation = operation.layer
    return operation


def _caller(operation, args, kwargs):
    training = {"training": False} if isinstance(operation, keras.Layer) and operation._call_has_training_arg else {}
    return functools.partial(operation, *args, **{**kwargs, **training})


def _map(function, structure):
    return tree.map_structure(lambda x: function(x) if isinstance(x, Marked) else x, structure)


def _zeroed(x):
    if not x.marks.any():
        return x.value
    return _masked_as(x.value, ops.where(ops.convert_to_tensor(x.marks), ops.zeros_like(x.value), x.value))


def _masked_as(x, value):
    """The value with the mask of a tensor, which says what steps there are."""
    mask = get_keras_mask(x)
    if mask is not None:
        set_keras_mask(value, mask)
    return value


def _filled(x, sign, rng):
    """The tensor with its marked elements replaced by large numbers of one sign."""
    if not x.marks.any():
        return x.value
    value = np.where(x.marks, sign * rng.uniform(3, 30, x.marks.shape), ops.convert_to_numpy(x.value))
    return _masked_as(x.value, ops.convert_to_tensor(value.astype(keras.backend.standardize_dtype(x.value.dtype))))


def _reads(layer, args):
    """Whether a layer reads all of its input through weights; a convolution of each channel apart does not."""
    each_apart = isinstance(layer, CONVOLUTIONS) and 1 < layer.groups == layer._kernel.shape[-2] * layer.groups
    return isinstance(layer, READERS) and not each_apart


def _changes(operation, layer, args, kwargs, outputs):
    """Which elements of the outputs change with the marked elements of the inputs."""
    flat = tree.flatten(outputs)
    if not any(x.marks.any() for x in tree.flatten((args, kwargs)) if isinstance(x, Marked)):
        return [np.zeros(x.shape, bool) for x in flat]
    rng, runs = np.random.default_rng(0), []
    for sign in FILLINGS:
        filled = _caller(operation, *_map(lambda x, sign=sign: _filled(x, sign, rng), (args, kwargs)))()
        runs.append([ops.convert_to_numpy(x) for x in tree.flatten(filled)])
    marks = [np.any([x != versions[0] for x in versions[1:]], axis=0) for versions in zip(*runs, strict=True)]
    return [_whole(layer, args, x) for x in marks]


def _whole(layer, args, marks):
    """The marks with what does not change with a pruned unit and belongs to it all the same, such as padding."""
    if isinstance(layer, PLACE_BY_PLACE):
        return marks | args[0].marks
    if isinstance(layer, CHOICES):
        # Whatever the answer is, it is about the pruned unit.
        return marks | np.all(np.broadcast_arrays(marks, *[x.marks for x in args if isinstance(x, Marked)])[1:], axis=0)
    if isinstance(layer, knp.Pad):
        before = args[0].marks.shape
        axes = tuple(i for i, size in enumerate(marks.shape) if size != before[i])
    elif isinstance(layer, (*DEPTHWISE, *PADDING, *CONVOLUTIONS)):
        axes = tuple(i for i in range(1, marks.ndim) if i != _channel_axis(layer, marks.ndim))
    else:
        return marks
    return np.broadcast_to(marks.any(axis=axes, keepdims=True), marks.shape)


def _without_terms(layer, args):
    """The arguments of a product with zeros at the terms that a pruned unit adds to its sums."""
    if isinstance(layer, (layers.Attention, layers.AdditiveAttention)):
        query, value, key = (*args[0], args[0][1])[:3]
        return ([_unmarked(query), value, _unmarked(key)], *args[1:])
    if isinstance(layer, knp.Matmul):
        left, right = args
        summed = left.marks.all(axis=-2) & right.marks.all(axis=-1)
        return (_unmarked(left, summed[..., None, :]), _unmarked(right, summed[..., None]))
    if isinstance(layer, knp.Any):  # Whether a step holds anything: of this, a mask is made.
        return (_unmarked(args[0]), *args[1:])
    if isinstance(layer, knp.Einsum):
        return _without_letters(layer.subscripts, args)
    if isinstance(layer, layers.Dot):
        return ([_unmarked(x) for x in args[0]], *args[1:])
    return args


def _without_letters(subscripts, args):
    """The operands of an `einsum` with zeros where all hold a pruned unit along a letter that is summed over."""
    inputs, output = subscripts.split("->")
    operands = list(zip(inputs.split(","), args, strict=True))
    for letter in set(inputs) - set(output) - {","}:
        slices = [np.moveaxis(x.marks, letters.index(letter), 0) for letters, x in operands if letter in letters]
        gone = np.all([marks.reshape(len(marks), -1).all(1) for marks in slices], axis=0)
        operands = [(letters, _unmarked(x, _along(gone, letters, letter))) for letters, x in operands]
    return tuple(x for _, x in operands)


def _along(gone, letters, letter):
    return gone.reshape([len(gone) if here == letter else 1 for here in letters]) if letter in letters else False


def _unmarked(x, where=True):
    """The tensor with zeros, and no marks, at its marked elements."""
    where = x.marks & where
    return Marked(_zeroed(Marked(x.value, where)), x.marks & ~where)


# Where a layer's own pruned units are.


def _channel_axis(layer, rank):
    return 1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1


def _made_marks(layer, output, pruned):
    """The marks of what a reader returns: the channels that its pruned slices make."""
    axis, gone = _channel_axis(layer, len(output.shape)), _made(layer, pruned)
    if isinstance(layer, layers.EinsumDense):
        kernel, letters = layer.equation.split(",")[1].split("->")
        axis = next((letters.index(kernel[i]) - len(letters) for i in pruned.get(id(layer._kernel), ())), -1)
        gone = _gone(layer._kernel, kernel.index(letters[axis]), pruned)
    shape = [1] * len(output.shape)
    shape[axis] = len(gone)
    return np.broadcast_to(gone.reshape(shape), output.shape)


def _made(layer, pruned):
    """Which channels of a layer's output are pruned, a boolean each."""
    if isinstance(layer, layers.Bidirectional):
        forward, backward = _made(layer.forward_layer, pruned), _made(layer.backward_layer, pruned)
        return np.concatenate([forward, backward]) if layer.merge_mode == "concat" else forward | backward
    if isinstance(layer, layers.RNN):
        return _made_by_cell(_cells(layer)[-1], pruned)
    if isinstance(layer, ATTENTION):
        return _gone(layer._output_dense._kernel, -1, pruned)
    if isinstance(layer, TRANSPOSED):
        return _gone(layer.kernel, -2, pruned)
    if isinstance(layer, SEPARABLE):
        return _gone(layer.pointwise_kernel, -1, pruned)
    return _gone(layer._embeddings if isinstance(layer, layers.Embedding) else layer._kernel, -1, pruned)


def _cells(layer):
    return layer.cell.cells if isinstance(layer.cell, layers.StackedRNNCells) else [layer.cell]


def _made_by_cell(cell, pruned):
    return _gone(cell.kernel, -1, pruned)[: cell.recurrent_kernel.shape[-2]]


def _gone(variable, axis, pruned):
    axis %= len(variable.shape)
    gone = np.zeros(variable.shape[axis], bool)
    gone[pruned.get(id(variable), {}).get(axis, [])] = True
    return gone


def _inner_readers(layer, pruned):
    """The weights that read a layer's units inside it: `(variable, axis, which slices are pruned)`."""
    if isinstance(layer, layers.Bidirectional):
        return _inner_readers(layer.forward_layer, pruned) + _inner_readers(layer.backward_layer, pruned)
    if isinstance(layer, layers.RNN):
        cells = _cells(layer)
        own = [(cell.recurrent_kernel, -2, _made_by_cell(cell, pruned)) for cell in cells]
        return own + [(after.kernel, -2, gone) for after, (_, _, gone) in zip(cells[1:], own, strict=False)]
    if isinstance(layer, ATTENTION):
        kernel, heads = layer._output_dense._kernel, _gone(layer._query_dense._kernel, 1, pruned)
        return [(kernel, 0, heads), (kernel, 1, _gone(layer._value_dense._kernel, 2, pruned))]
    return []


@contextlib.contextmanager
def _without_inner_units(layer, pruned):
    changed = []
    for variable, axis, gone in _inner_readers(layer, pruned):
        if gone.any():
            value = np.array(ops.convert_to_numpy(variable.value))
            changed.append((variable, value.copy()))
            np.moveaxis(value, axis, 0)[gone] = 0
            variable.assign(value)
    yield
    for variable, value in reversed(changed):
        variable.assign(value)
