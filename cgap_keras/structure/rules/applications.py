"""Layers that `keras.applications` defines for itself."""

from keras.src.applications import convnext, inception_resnet_v2

from cgap_keras.structure.registry import rule
from cgap_keras.structure.rules.elementwise import elementwise
from cgap_keras.structure.rules.merging import elementwise_merge
from cgap_keras.structure.tracer import spread

rule(convnext.StochasticDepth)(elementwise)
rule(inception_resnet_v2.CustomScaleLayer)(elementwise_merge)


@rule(convnext.LayerScale)
def layer_scale(call, labels, tracer):
    """Every channel is multiplied by a weight of its own."""
    rank = len(call.inputs[0].shape)
    reason = f"`{call.path}` sees it at some places of its input and something of fixed width at others."
    channels = tracer.along(labels[0], rank - 1, call.inputs[0].shape[-1], reason)
    tracer.carry(call, call.operation.gamma, 0, channels)
    tracer.size(call, "projection_dim", channels)
    return [spread(channels, rank - 1, rank)]
