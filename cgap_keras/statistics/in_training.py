"""Takes out of moving statistics what they hold of the time before a pruning, which makes it wrong at once.

After n updates with momentum p a moving average that began as `a` is `p^n a + (1 - p^n) s`, where s is an average of
the batches since then, the later ones weighing more. `begin` notes `a` and `settle` sets s: the correction of Adam for
averages that begin at zero (Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, section 3). Weights
and all that training does stay what they would have been, since validation and inference alone read these statistics.

How often a layer updates its averages has to be known. Those of a layer that the graph does not show are left alone, as
are all of them under a `train_step` of the user's own, or behind a loss scale, which passes over steps.
"""

import collections
import weakref

import keras
import numpy as np

from cgap_keras.structure.graph import trace

# `{layer: (step, mean, variance)}`, from `begin` to `settle`.
_BEGUN = weakref.WeakKeyDictionary()


def begin(model):
    """Notes the averages as they are behind a pruning."""
    own_step = type(model).train_step is not keras.Model.train_step
    if own_step or isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        return
    for layer in _calls(model):
        _BEGUN[layer] = (_step(model), *map(_to_numpy, _averages(layer)))


def settle(model):
    """Takes what `begin` noted out of the averages, if any batch has been trained on since then."""
    for layer, calls in _calls(model).items():
        step, *before = _BEGUN.get(layer, (_step(model),))
        if step == _step(model):
            continue
        kept = layer.momentum ** ((_step(model) - step) * calls)
        for average, value in zip(_averages(layer), before, strict=True):
            average.assign((_to_numpy(average) - kept * value) / (1 - kept))
        # A variance near zero may come out below it, by rounding.
        layer.moving_variance.assign(np.maximum(_to_numpy(layer.moving_variance), 0))
        forget(layer)


def forget(*layers):
    """Lets averages be what they are: somebody else has set them, or their widths are others."""
    for layer in layers:
        _BEGUN.pop(layer, None)


def forget_all(model):
    """The same for every layer of a model."""
    forget(*_calls(model))


def get_state(model):
    """What `begin` noted, as a plain value; `set_state` sets it."""
    return [list(_BEGUN.get(layer, ())) for layer in _calls(model)]


def set_state(model, state):
    """Goes on from what `get_state` returned."""
    for layer, noted in zip(_calls(model), state, strict=True):
        forget(layer)
        if noted:
            _BEGUN[layer] = tuple(noted)


def _calls(model):
    """`{layer: how often a step runs it}` of the layers whose averages can be corrected, in graph order."""
    return collections.Counter(
        call.operation
        for call in trace(model).calls
        if type(call.operation) is keras.layers.BatchNormalization
        and call.operation.trainable
        and not call.operation.renorm
        and call.operation.momentum < 1
    )


def _averages(layer):
    return layer.moving_mean, layer.moving_variance


def _step(model):
    # The public count is one of updates, of which there are fewer where gradients are accumulated.
    return int(keras.ops.convert_to_numpy(model.optimizer._iterations))


def _to_numpy(variable):
    return np.array(keras.ops.convert_to_numpy(variable.value), "float64")
