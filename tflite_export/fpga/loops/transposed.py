"""Transposed convolutions as convolutions on the input as it is."""

import itertools

from tflite_export.fpga.loops.builder import Refusal
from tflite_export.fpga.loops.layer import Layer


def sub_pixel(name, n_if, biases, loops):
    """The convolutions that a transposed convolution consists of; none multiplies with inserted zeros.

    Where an output pixel lies within a stride says which taps of the kernel meet an input pixel: along an axis
    `kernel % stride` places have `kernel // stride + 1` taps, the others one less. The places with the same number of
    taps are output maps of one convolution with stride 1 on the input, so that every input pixel meets the whole
    kernel once, and every output pixel is written once. Source: Shi et al., "Is the deconvolution layer the same as a
    convolutional layer?", arXiv:1609.07009.

    Args:
        name: The layer's name. With places of different taps, each row's taps are added to it.
        n_if: Input maps.
        biases: Values beside the kernel, read with each row.
        loops: The loops of the layer as `geometry.window` gives them, with its own kernel, stride and output.

    Returns:
        A tuple of one, two or four `Layer`.

    Raises:
        Refusal: If the output is not the input times the stride, the kernel is smaller than the stride, or dilated.
    """
    kernel, stride = (loops["n_kx"], loops["n_ky"]), loops["stride"]
    before, out = (loops["n_ix"], loops["n_iy"]), (loops["n_ox"], loops["n_oy"])
    if tuple(loops["dilation"]) != (1, 1):
        raise Refusal("dilated")
    if any(k < s for k, s in zip(kernel, stride, strict=True)):
        raise Refusal("with a kernel smaller than its stride")
    if out != tuple(n * s for n, s in zip(before, stride, strict=True)):
        raise Refusal("with an output that is not its input times its stride")
    places = [_places(k, s) for k, s in zip(kernel, stride, strict=True)]
    rows = [
        Layer(
            f"{name}/{taps_x}x{taps_y}" if len(places[0]) * len(places[1]) > 1 else name,
            "conv",
            n_kx=taps_x,
            n_ky=taps_y,
            n_if=n_if,
            n_ox=before[0],
            n_oy=before[1],
            n_of=loops["n_of"] * count_x * count_y,
            n_ix=before[0],
            n_iy=before[1],
            padding=tuple(((taps - 1) // 2, taps // 2) for taps in (taps_x, taps_y)),
            biases=biases,
        )
        for (taps_x, count_x), (taps_y, count_y) in itertools.product(*places)
    ]
    return tuple(rows)


def _places(kernel, stride):
    """`(taps, how many places within a stride have them)` along an axis."""
    taps, more = divmod(kernel, stride)
    return [(taps + 1, more), (taps, stride - more)] if more else [(taps, stride)]
