"""Holds a file to its promise: outputs within a bound of the Keras model's, and the types that were asked."""

import numpy as np

from tflite_export.result import OutputError


def check_contents(contents, quantization):
    """Refuses a file with operators that a plain interpreter does not have, or with float where integers were asked.

    Args:
        contents: The file's `Contents`.
        quantization: The `Quantization` it was made with.

    Raises:
        ValueError: Names the operators, and the tensors that they compute.
    """
    custom = sorted({name for name in contents.operators if name.startswith("CUSTOM:")})
    if custom:
        raise ValueError(
            f"The {quantization.name} file needs operators that are not built into TFLite: {', '.join(custom)}. "
            f"Replace the layers that they come from. Received: quantization={quantization.name!r}"
        )
    if quantization.activations and contents.float_operators:
        raise ValueError(
            f"The {quantization.name} file still computes in float at {', '.join(contents.float_operators)}, for which "
            f"TFLite has no {quantization.activations.lower()} kernel. Replace the layer, or ask for 'int8_dynamic', "
            f"which quantizes the weights alone. Received: quantization={quantization.name!r}"
        )


def compare(reference, outputs, quantization, steps):
    """Compares a file's outputs with the Keras model's.

    An output may differ by the tolerance times its range over the samples, and besides by two of its steps: an int8
    softmax has steps of 1/256 however small the range of the probabilities is, and float32 has steps of 1.2e-7 at 1
    however little an output moves about it.

    Args:
        reference: Dict from output name to the Keras model's array `(samples, ...)`.
        outputs: The same from the file.
        quantization: The `Quantization`, whose tolerance holds.
        steps: Dict from output name to the distance of neighbouring values, 0 where the output is not made of integers
            and steps are those of float32 at its greatest value.

    Returns:
        A tuple of `OutputError`, one for each output.

    Raises:
        ValueError: If a difference is out of bound, or a value is not finite.
    """
    return tuple(
        _compare_one(name, expected, outputs[name], quantization, steps[name]) for name, expected in reference.items()
    )


def accuracy(outputs, labels):
    """The share of samples whose largest output stands at the label.

    Args:
        outputs: An array `(samples, ..., classes)`.
        labels: Integers `(samples, ...)`.

    Returns:
        A float between 0 and 1.
    """
    return float(np.mean(np.argmax(outputs, axis=-1) == labels))


def _compare_one(name, expected, actual, quantization, step):
    expected, actual = expected.astype(np.float64), actual.astype(np.float64)
    if actual.shape != expected.shape or not np.isfinite(actual).all():
        raise ValueError(
            f"The {quantization.name} file answers at {name!r} with the shape {actual.shape}, "
            f"{np.count_nonzero(~np.isfinite(actual))} values not finite; the Keras model with the shape "
            f"{expected.shape}, all finite. Received: quantization={quantization.name!r}"
        )
    difference = np.abs(actual - expected)
    # An output that never changes has no range, so its size stands in.
    span = float(np.ptp(expected)) or float(np.abs(expected).max())
    step = max(step, float(np.spacing(np.float32(np.abs(expected).max()))))
    error = OutputError(name, float(difference.max()), float(difference.mean()), span, _agreement(expected, actual))
    max_bound = quantization.tolerance.max_error * span + 2 * step
    mean_bound = quantization.tolerance.mean_error * span + 2 * step
    decided = _agreement(expected, actual, margin=2 * mean_bound)
    disagrees = decided is not None and decided < quantization.tolerance.agreement
    if error.max_abs > max_bound or error.mean_abs > mean_bound or disagrees:
        raise ValueError(_out_of_bound(error, max_bound, mean_bound, decided, quantization))
    return error


def _agreement(expected, actual, margin=0.0):
    """The share of samples with the same largest output, of those where it leads by `margin`; `None` of no samples."""
    if expected.ndim < 2 or expected.shape[-1] < 2:
        return None
    ordered = np.sort(expected, axis=-1)
    decided = ordered[..., -1] - ordered[..., -2] >= margin
    if not decided.any():
        return None
    return float(np.mean((np.argmax(expected, axis=-1) == np.argmax(actual, axis=-1))[decided]))


def _out_of_bound(error, max_bound, mean_bound, decided, quantization):
    agreement = "no sample is decided" if decided is None else f"{decided:.1%} of the decided samples agree"
    return (
        f"The {quantization.name} file is out of bound at the output {error.name!r}: greatest error "
        f"{error.max_abs:.3g} (bound {max_bound:.3g}), mean error {error.mean_abs:.3g} (bound {mean_bound:.3g}), "
        f"range of the output {error.span:.3g}; {agreement} (bound {quantization.tolerance.agreement:.1%}). Use "
        "`representative_data` like what the model will see, a finer quantization, or allow more with `tolerance`. "
        f"Received: quantization={quantization.name!r}"
    )
