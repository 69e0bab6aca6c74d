"""Layers that work along the axes of an image and leave its channels alone."""

from keras import layers

from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.convolution import read_channels, spread_channels
from cgap_keras.structure.tracer import spread


@rule(
    *[getattr(layers, f"{kind}Pooling{rank}D") for kind in ("Average", "Max") for rank in (1, 2, 3)],
    *[getattr(layers, f"Adaptive{kind}Pooling{rank}D") for kind in ("Average", "Max") for rank in (1, 2, 3)],
    *[getattr(layers, f"{name}{rank}D") for name in ("ZeroPadding", "Cropping", "UpSampling") for rank in (1, 2, 3)],
    layers.Resizing,
    layers.CenterCrop,
    # Of the random ones those that do the same to every channel.
    layers.RandomContrast,
    layers.RandomCrop,
    layers.RandomElasticTransform,
    layers.RandomFlip,
    layers.RandomGaussianBlur,
    layers.RandomPerspective,
    layers.RandomRotation,
    layers.RandomTranslation,
    layers.RandomZoom,
)
def per_channel(call, labels, tracer):
    """Every channel is treated apart."""
    return [spread_channels(call, read_channels(call, labels[0], tracer))]


@rule(*[getattr(layers, f"Global{kind}Pooling{rank}D") for kind in ("Average", "Max") for rank in (1, 2, 3)])
def global_pooling(call, labels, tracer):
    """Every channel is reduced to one value, or to an image of one pixel."""
    channels = read_channels(call, labels[0], tracer)
    return [spread_channels(call, channels) if call.operation.keepdims else spread(channels, 1, 2)]
