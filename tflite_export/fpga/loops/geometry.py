"""Feature maps and windows: what Keras and TFLite layers have in common once their options are read."""

import math

from tflite_export.fpga.loops.layer import Layer

NO_ZEROS = ((0, 0), (0, 0))


def plane(shape, channels_first=False):
    """Width, height and maps of a tensor: a vector has one pixel, a sequence lies along x.

    Args:
        shape: The tensor's shape, batch axis included.
        channels_first: Whether the maps come before the pixels.

    Returns:
        `(width, height, maps)`.

    Raises:
        ValueError: If a size is not known, or the tensor has more than two spatial axes.
    """
    sizes = tuple(shape[1:])
    if None in sizes:
        raise ValueError(
            "The loops of a layer depend on a size that is not known. Give the model a `keras.Input` with every size "
            f"but the batch. Received: shape={shape}"
        )
    if len(sizes) > 3:
        raise ValueError(f"A feature map has at most two spatial axes here. Received: shape={shape}")
    if channels_first and len(sizes) > 1:
        sizes = (*sizes[1:], sizes[0])
    *spatial, maps = sizes or (1,)
    height, width = (1, 1, *spatial)[-2:]
    return width, height, maps


def window(out, before, kernel, stride, dilation, mode, zeros):
    """The loops of a sliding window, as arguments of `Layer`.

    Args:
        out: Width, height and maps of the output.
        before: Width, height and maps of the input.
        kernel: Kernel size in x and y.
        stride: Stride in x and y.
        dilation: Dilation in x and y.
        mode: `"same"`, `"valid"` or `"causal"`.
        zeros: Zeros that an earlier padding layer puts around the input, `((left, right), (top, bottom))`.

    Returns:
        A dict of the sizes, the stride, the dilation and all the zeros.
    """
    padding = []
    for n_out, n_in, k, s, d, ahead in zip(out, before, kernel, stride, dilation, zeros, strict=False):
        reach = (k - 1) * d + 1
        total = max(0, (n_out - 1) * s + reach - n_in - sum(ahead)) if mode == "same" else 0
        own = (reach - 1, 0) if mode == "causal" else (total // 2, total - total // 2)
        padding.append((ahead[0] + own[0], ahead[1] + own[1]))
    return {
        "n_kx": kernel[0],
        "n_ky": kernel[1],
        "n_ox": out[0],
        "n_oy": out[1],
        "n_of": out[2],
        "n_ix": before[0],
        "n_iy": before[1],
        "stride": tuple(stride),
        "dilation": tuple(dilation),
        "padding": tuple(padding),
    }


def streamed(name, kind, out_shape, shapes, channels_first=False, biases=0):
    """A layer that makes one output element after the other from its operands.

    Args:
        name: The layer's name.
        kind: `"elementwise"` or `"upsample"`.
        out_shape: The output's shape, batch axis included.
        shapes: The operands' shapes, likewise. The largest is read as a feature map, the others as so many elements.
        channels_first: Whether the maps come before the pixels.
        biases: Parameters that it reads.

    Returns:
        A `Layer`.
    """
    n_ox, n_oy, n_of = plane(out_shape, channels_first)
    n_ix, n_iy, maps = plane(shapes[0], channels_first) if kind == "upsample" else (n_ox, n_oy, n_of)
    total = sum(math.prod(plane(shape)) for shape in shapes)
    return Layer(
        name,
        kind,
        n_ox=n_ox,
        n_oy=n_oy,
        n_of=n_of,
        n_ix=n_ix,
        n_iy=n_iy,
        groups=maps,
        biases=biases,
        operands=len(shapes),
        extra_input_elements=total - n_ix * n_iy * maps,
    )
