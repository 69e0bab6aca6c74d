"""Samples and labels: from what a caller hands over to arrays by input name, checked."""

import numpy as np

# Enough to see an error of the graph; a caller with data of their own verifies on those.
_RANDOM_SAMPLES = 32


def as_arrays(data, signature, argument):
    """Brings samples into one form.

    Args:
        data: An array of samples for a model with one input; a list or tuple of arrays in the order of the inputs; or
            a dict from input name to array. The first axis counts the samples.
        signature: The model's `Signature`.
        argument: The name of the caller's argument, for the error message.

    Returns:
        Dict from input name to an array in the input's dtype.

    Raises:
        TypeError: If `data` is none of these, or an array's dtype does not fit the input's.
        ValueError: If inputs are missing or unknown, a shape is wrong, there is no sample, the inputs have different
            numbers of samples, or a value is not finite.
    """
    named = _named(data, signature, argument)
    arrays = {port.name: _checked(named[port.name], port, argument) for port in signature.inputs}
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"`{argument}` must hold equally many samples for every input. Received: samples={counts}")
    return arrays


def random_arrays(signature, seed=0):
    """Standard normal samples for a model with float inputs: what a file is verified on where there are no data.

    Args:
        signature: The model's `Signature`.
        seed: Seed of the generator.

    Returns:
        Dict from input name to array.

    Raises:
        ValueError: If an input is not float, since the range of its values is not known.
    """
    generator = np.random.default_rng(seed)
    for port in signature.inputs:
        if not port.dtype.startswith("float"):
            raise ValueError(
                f"The input {port.name!r} is {port.dtype}, and which values make sense there is not known: pass "
                "`verification_data` (or `representative_data`). Received: verification_data=None"
            )
    return {
        port.name: generator.normal(size=(_RANDOM_SAMPLES, *port.shape)).astype(port.dtype) for port in signature.inputs
    }


def as_labels(labels, signature, count):
    """Checks the labels that the accuracy is counted with.

    Args:
        labels: Integers, the right class of each verification sample: shape `(samples,)` for an output of shape
            `(samples, classes)`, or in general the output's shape without its last axis.
        signature: The model's `Signature`.
        count: How many verification samples there are.

    Returns:
        An array of int64.

    Raises:
        TypeError: If the labels are not integers.
        ValueError: If the model has several outputs or none with classes, or shape or values do not fit.
    """
    ports = signature.outputs
    if len(ports) != 1 or not ports[0].shape or ports[0].shape[-1] < 2:
        raise ValueError(
            "`labels` need a model with one output whose last axis counts the classes, two or more. "
            f"Received: labels for outputs={[(port.name, port.shape) for port in ports]}"
        )
    labels, expected, classes = np.asarray(labels), (count, *ports[0].shape[:-1]), ports[0].shape[-1]
    if labels.dtype.kind not in "iu":
        raise TypeError(f"`labels` must be integers, the index of the class. Received: labels of dtype {labels.dtype}")
    if labels.shape == (*expected, 1):
        labels = labels[..., 0]
    if labels.shape != expected:
        raise ValueError(
            f"`labels` must have the shape {expected}, one class for each verification sample. "
            f"Received: labels of shape {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"`labels` must lie between 0 and {classes - 1}. Received: labels from {labels.min()} to {labels.max()}"
        )
    return labels.astype("int64")


def _named(data, signature, argument):
    names = [port.name for port in signature.inputs]
    if isinstance(data, dict):
        given = dict(data)
    elif isinstance(data, list | tuple) and len(names) > 1:
        given = dict(zip(names, data, strict=True)) if len(data) == len(names) else {}
    elif hasattr(data, "shape") or isinstance(data, list | tuple):
        given = {names[0]: data} if len(names) == 1 else {}
    else:
        raise TypeError(
            f"`{argument}` must be an array of samples, a list of arrays, or a dict from input name to array. "
            f"Of a dataset, stack some hundred with `numpy.stack`. Received: {argument} of type {type(data).__name__}"
        )
    if set(given) != set(names):
        raise ValueError(
            f"`{argument}` must hold samples for each input of the model: {names}. Received: {argument} for "
            f"{sorted(map(str, given)) or f'{len(data)} arrays without names'}"
        )
    return given


def _checked(values, port, argument):
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"`{argument}` must be arrays in which every sample has one shape. Received: {argument} that NumPy refuses "
            f"({error})"
        ) from error
    if array.dtype.kind not in "biuf" or not np.can_cast(array.dtype, port.dtype, "same_kind"):
        raise TypeError(
            f"`{argument}` for the input {port.name!r} must be numbers that fit into {port.dtype}. "
            f"Received: {argument} of dtype {array.dtype}"
        )
    if array.ndim == 0 or array.shape[1:] != port.shape or not len(array):
        raise ValueError(
            f"`{argument}` for the input {port.name!r} must have the shape (samples, "
            f"{', '.join(map(str, port.shape))}), with one sample or more. Received: {argument} of shape {array.shape}"
        )
    with np.errstate(over="ignore"):  # What is too large becomes infinite, and is refused below.
        array = array.astype(port.dtype)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(
            f"`{argument}` for the input {port.name!r} must be finite. "
            f"Received: {argument} with {np.count_nonzero(~np.isfinite(array))} values that are NaN or infinite"
        )
    return array
