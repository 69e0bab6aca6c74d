"""Layers whose data is used as it passes: fully connected, elementwise and upsampling."""

import numpy as np

from tflite_export.fpga.accelerators.pipeline import Tiles, stage_us
from tflite_export.fpga.accelerators.unroll import ceil_div


def stream_weights(layer, accelerator, capacities):
    """A fully connected layer: its inputs and outputs stay on chip, its weights are read once, in order.

    A tile is what the array needs for one set of output neurons, or what the weight buffer holds, whichever is less.
    All weights are one transfer.

    Args:
        layer: A `Layer` of kind `"fully_connected"`.
        accelerator: The `Accelerator`.
        capacities: Elements that the input, weight and output buffer hold.

    Returns:
        Its `Tiles`.

    Raises:
        ValueError: If the inputs or the outputs do not fit their buffer.
    """
    inputs, weights, outputs = capacities
    _check_vector(layer, "input", layer.n_if, inputs, accelerator)
    _check_vector(layer, "output", layer.n_of, outputs, accelerator)
    unroll = accelerator.unroll_for(layer.kind)
    count = max(ceil_div(layer.weights, max(1, weights)), ceil_div(layer.n_of, unroll.factor("of")))
    weight_bytes = (layer.weights * accelerator.weight_bits + layer.biases * accelerator.bias_bits) / 8
    first, last = np.arange(count) == 0, np.arange(count) == count - 1
    return Tiles(
        cycles=np.full(count, unroll.cycles(n_if=layer.n_if, n_of=layer.n_of) / count),
        weight_bytes=np.full(count, weight_bytes / count),
        input_bytes=first * layer.input_elements * accelerator.activation_bits / 8,
        output_bytes=last * layer.output_elements * accelerator.activation_bits / 8,
        read_descriptors=first * 2,
        write_descriptors=last * 1,
    )


def _check_vector(layer, name, needed, capacity, accelerator):
    bits = accelerator.activation_bits
    if needed > capacity:
        raise ValueError(
            f"Layer {layer.name!r} does not fit the accelerator: its {needed} {name}s take "
            f"{needed * bits / 8192:.1f} KiB, {(needed - capacity) * bits / 8192:.1f} more than `{name}_buffer_kib` "
            f"has. Enlarge the buffer. "
            f"Received: accelerator={accelerator.name!r}"
        )


def stream_pixels(layer, accelerator):
    """An elementwise or upsampling layer: one pass over its operands."""
    bits = accelerator.activation_bits
    cycles = accelerator.unroll_for(layer.kind).cycles(n_ox=layer.n_ox, n_oy=layer.n_oy, n_of=layer.n_of)
    return Tiles(
        cycles=np.array([cycles]),
        weight_bytes=np.array([layer.biases * accelerator.bias_bits / 8]),
        input_bytes=np.array([layer.input_elements * bits / 8]),
        output_bytes=np.array([layer.output_elements * bits / 8]),
        read_descriptors=np.array([layer.operands * layer.n_of]),
        write_descriptors=np.array([layer.n_of]),
    )


def streaming_us(tiles, accelerator):
    """Microseconds of a layer that reads, computes and writes a few pixels apart: `max(compute, max(read, write))`."""
    read, compute, write = (float(stage.sum()) for stage in stage_us(tiles, accelerator))
    return max(compute, max(read, write) if accelerator.duplex else read + write)
