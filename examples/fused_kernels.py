"""Batch normalisation and convolution on PyTorch by PyTorch's own kernels: the same numbers in half of the time.

Keras 3.15 makes a batch normalisation on PyTorch of elementwise operations, each of which reads and writes all
activations once, in float32 whatever the precision around it; and it copies what a convolution reads into another
layout and back. On a processor that is more than half of a training step of a ResNet-20. `install` replaces both for
the process. It reaches into parts of Keras that are not public; tests/examples/test_fused_kernels.py compares values,
gradients and moving statistics with Keras's own.
"""

import keras

_call = keras.layers.BatchNormalization.call


def install():
    """Has Keras train with PyTorch's kernels from now on.

    Raises:
        ValueError: On another backend than PyTorch.
    """
    if keras.backend.backend() != "torch":
        raise ValueError(
            f"fused kernels are for the PyTorch backend, KERAS_BACKEND=torch. Received: {keras.backend.backend()}"
        )
    from keras.src.backend.torch import nn

    keras.layers.BatchNormalization.call = _normalize
    nn._transpose_spatial_inputs = _channels_first


def _channels_first(inputs):
    """Channels as PyTorch's second axis, in place: its kernels take them as they lie in memory."""
    return inputs.permute(0, inputs.ndim - 1, *range(1, inputs.ndim - 1))


def _normalize(self, inputs, training=None, mask=None):
    """`BatchNormalization.call`; what has no kernel, and inference, goes the old way."""
    last = self.axis in (-1, inputs.ndim - 1)
    plain = last and self.scale and self.center and not (self.renorm or self.synchronized) and mask is None
    if not (training and self.trainable and plain):
        return _call(self, inputs, training=training, mask=mask)
    import torch

    if inputs.dtype not in (torch.float32, torch.bfloat16):
        inputs = inputs.float()
    first = inputs.movedim(-1, 1)
    # Without running statistics of its own: PyTorch's follow the unbiased variance, Keras's the biased one.
    outputs, mean, inverse = torch.native_batch_norm(
        first, self.gamma.value, self.beta.value, None, None, True, 0.0, self.epsilon
    )
    with torch.no_grad():
        variance = inverse.float() ** -2 - self.epsilon
        for moving, now in ((self.moving_mean, mean.float()), (self.moving_variance, variance)):
            moving.assign(moving.value * self.momentum + now * (1 - self.momentum))
    return keras.ops.cast(outputs.movedim(1, -1), self.compute_dtype)
