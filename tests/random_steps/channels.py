"""Layers that keep the channels as they are."""

import keras
from keras import layers

from tests.random_steps.bench import ACTIVATIONS, LONGEST, at_rank, image_layer, step

# On PyTorch, Keras 3.15 normalises along the last axis whatever it is told, or fails where that has another size.
_LAYER_NORM_AXIS = -1 if keras.backend.backend() == "torch" else 1


@step
def activation(x, other, pick):
    name = pick(*ACTIVATIONS[1:])
    if pick(True, False):
        return layers.Activation(name)(x)
    return pick(layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Identity, layers.Softmax)()(x)


@step
def prelu(x, other, pick):
    axes = range(1, len(x.shape) - 1)
    return layers.PReLU(shared_axes=pick([*axes] or None, None, [1] if len(x.shape) > 2 else None))(x)


@step
def batch_norm(x, other, pick):
    axis = pick(-1, -1, -1, 1)
    return layers.BatchNormalization(axis=axis, scale=pick(True, False), center=pick(True, False))(x)


@step
def other_norm(x, other, pick):
    width = x.shape[-1]
    groups = pick(-1, *[n for n in range(2, width + 1) if width % n == 0], 1)
    kinds = [
        lambda: layers.LayerNormalization(scale=pick(True, False)),
        # Keras takes the variance as the mean of squares less the square of the mean, in single precision: with its own
        # epsilon, what rounding leaves of a small variance is multiplied by thousands.
        lambda: layers.GroupNormalization(groups, epsilon=0.1, scale=pick(True, False)),
        layers.RMSNormalization,
        layers.UnitNormalization,
        lambda: layers.LayerNormalization(axis=_LAYER_NORM_AXIS),
    ]
    return pick(*kinds[: 3 if width == 1 else 5])()(x)


@step
def regularize(x, other, pick):
    kinds = [layers.Dropout, layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout]
    if 3 <= len(x.shape) <= 5:
        kinds.append(image_layer("SpatialDropout{}D", x))
    return pick(*kinds)(0.3)(x)


@step
def rescale(x, other, pick):
    return layers.Rescaling(pick(0.5, -2.0), pick(0.0, 1.0))(x)


@step
def pool(x, other, pick):
    if len(x.shape) == 2 or min(x.shape[1:-1]) < 2:
        return None
    name, options = pick("MaxPooling{}D", "AveragePooling{}D"), {"padding": pick("valid", "same")}
    return image_layer(name, x)(2, strides=pick(None, 1), **options)(x)


@step
def global_pool(x, other, pick):
    if len(x.shape) == 2:
        return None
    return image_layer(pick("GlobalAveragePooling{}D", "GlobalMaxPooling{}D"), x)(keepdims=pick(False, True))(x)


@step
def resize(x, other, pick):
    x = at_rank(x, max(3, len(x.shape)))
    small = [("Cropping{}D", 1)] if min(x.shape[1:-1]) > 2 else []
    large = [("ZeroPadding{}D", 1), ("UpSampling{}D", 2)] if max(x.shape[1:-1]) <= LONGEST // 2 else []
    if not small and not large:
        return None
    name, size = pick(*large, *small)
    return image_layer(name, x)(size)(x)
