"""Statistics of batch normalisation, taken anew from data."""

import contextlib

import keras
import numpy as np
from keras import tree

from cgap_keras.distribution import has_several_processes
from cgap_keras.statistics.in_training import forget
from cgap_keras.surgery.live import pull_state
from cgap_keras.surgery.transaction import Transaction


def reestimate_statistics(model, x, batch_size=128):
    """Sets the statistics of batch normalisation to those of some data, with the weights as they are now.

    What a `BatchNormalization` keeps is a moving average over training, and a pruning changes what flows into the
    layers behind it at once. Training on mends that within some hundred batches; without training, this does. The mean
    and the variance become the averages over the batches of `x`, each weighed by its examples, of what the layer finds
    in the batch, over all calls of a shared layer. As in training, each layer sees what the one before it has
    normalised with the batch's own statistics; in all else the model runs as at inference, so that nothing is dropped
    out and no random number is drawn. (Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
    Generalization", UAI 2018, section 3.2, does the same for averaged weights.)

    Weights, optimizer, metrics and seeds stay as they are. If anything fails, nothing has changed.

    Args:
        model: A built `keras.Model`, compiled or not, of any kind.
        x: Inputs as `model.predict` takes them: an array, or a list or a dictionary of arrays, examples along the first
            axis. A thousand or so, of the training data, are enough.
        batch_size: Examples in a batch; as large as in training or larger. Defaults to 128.

    Returns:
        The names of the layers that have new statistics, a tuple. A layer with `trainable=False` keeps its own, as in
        training.

    Raises:
        ValueError: If `x` holds no examples or arrays of different lengths, if `batch_size` is not positive, or if
            several processes train the model.

    Example:

    ```python
    cgap_keras.apply(model, plan)  # a pruning, and no training behind it
    cgap_keras.reestimate_statistics(model, x_train[:1024])
    ```
    """
    examples = _count(x, batch_size)
    if has_several_processes():
        raise ValueError(
            "Statistics can be taken anew in one process alone, since each has its own part of the data. Received: a "
            f"model on {keras.distribution.distribution().num_processes} processes"
        )
    pull_state(model)
    listeners = [_Listener(layer) for layer in _normalizations(model)]
    with contextlib.ExitStack() as undo, _without_gradients():
        for listener in listeners:
            undo.callback(listener.detach)
            listener.attach()
        for start in range(0, examples, batch_size):
            batch = tree.map_structure(lambda array, start=start: array[start : start + batch_size], x)
            for listener in listeners:
                listener.weight = min(batch_size, examples - start)
            model(batch, training=False)
    heard = [listener for listener in listeners if listener.total]
    for listener in heard:
        listener.set_means()
    return tuple(listener.layer.name for listener in heard)


class _Listener:
    """Adds up what one layer finds in each of its calls.

    With a momentum of zero, what the layer's own `call` leaves behind in training are the statistics of that call.
    """

    def __init__(self, layer):
        self.layer, self.weight, self.total = layer, 0, 0
        self._statistics = (layer.moving_mean, layer.moving_variance)
        self._before = [_to_numpy(variable) for variable in self._statistics]
        self._sums = [np.zeros(value.shape) for value in self._before]
        self._changes = Transaction()

    def attach(self):
        call = self.layer.call

        def listen(inputs, training=None, mask=None):
            outputs = call(inputs, training=True, mask=mask)
            self.total += self.weight
            for i, variable in enumerate(self._statistics):
                self._sums[i] += self.weight * _to_numpy(variable)
            return outputs

        for name, value in {"call": listen, "momentum": 0.0, "renorm": False}.items():
            self._changes.set(self.layer, name, value)
        # A momentum of zero alone would keep what is not a number: 0 * nan is nan.
        for variable, value in zip(self._statistics, self._before, strict=True):
            variable.assign(np.zeros_like(value))

    def detach(self):
        """Leaves the layer as it was."""
        self._changes.roll_back()
        for variable, value in zip(self._statistics, self._before, strict=True):
            variable.assign(value)

    def set_means(self):
        forget(self.layer)
        layer, (mean, variance) = self.layer, (total / self.total for total in self._sums)
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
        if layer.renorm:
            deviation = np.sqrt(variance + layer.epsilon)
            for variable, value in (
                (layer.moving_stddev, deviation),
                (layer.renorm_mean, mean),
                (layer.renorm_stddev, deviation),
            ):
                variable.assign(value)


def _normalizations(model):
    layers = {id(layer): layer for layer in model._flatten_layers()}.values()
    return [x for x in layers if isinstance(x, keras.layers.BatchNormalization) and x.built and x.trainable]


def _count(x, batch_size):
    """How many examples there are."""
    lengths = {len(array) for array in tree.flatten(x)}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"`x` must hold arrays of the same number of examples. Received: lengths={sorted(lengths)}")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")
    return lengths.pop()


def _to_numpy(variable):
    return np.array(keras.ops.convert_to_numpy(variable.value))


def _without_gradients():
    """PyTorch would keep what it needs to differentiate."""
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()
