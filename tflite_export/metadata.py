"""What a file says of itself: a small archive behind its last byte.

TFLite loads a file whatever follows the model, and a zip archive is read from its end, so a file can be both; Android's
metadata for TFLite keep their associated files in the same place. Any tool that opens zip archives shows these:
`metadata.json`, and `labels.txt` with a class a line where there are labels.
"""

import hashlib
import importlib.metadata
import json
import zipfile

import numpy as np

# Given here, and not to be taken for the caller's.
_OWN = ("model", "weights_sha256", "quantization", "version")
# A date that stays, so that the same model gives the same file.
_DATE = (1980, 1, 1, 0, 0, 0)


def check_metadata(metadata, signature):
    """Refuses metadata that cannot be written, or labels that do not fit the model.

    Args:
        metadata: What the caller says of the model, or `None`.
        signature: The model's `Signature`.

    Returns:
        A dict, or `None`.

    Raises:
        TypeError: If it is no dict that JSON can hold.
        ValueError: If it uses a name that is given already, or `labels` are not one text for each class.
    """
    if metadata is None:
        return None
    try:
        text = json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`metadata` must be a dict that JSON can hold: {error}. Received: {metadata!r}") from error
    if not isinstance(metadata, dict):
        raise TypeError(f"`metadata` must be a dict. Received: metadata={metadata!r}")
    taken = [name for name in _OWN if name in metadata]
    if taken:
        raise ValueError(f"`metadata` must leave {', '.join(_OWN)} to the exporter. Received: metadata with {taken}")
    if "labels" in metadata:
        _check_labels(metadata["labels"], signature)
    return json.loads(text)


def _check_labels(labels, signature):
    shapes = [port.shape for port in signature.outputs]
    classes = shapes[0][-1] if len(shapes) == 1 and shapes[0] else None
    fits = isinstance(labels, list | tuple) and len(labels) == classes
    if not fits or not all(isinstance(label, str) and label and "\n" not in label for label in labels):
        raise ValueError(
            "`metadata['labels']` must be a list with one line of text for each class, of a model with one output. "
            f"Received: labels={labels!r} for outputs of the shapes {shapes}"
        )


def describe(model):
    """What the exporter itself says of a model.

    Args:
        model: A Keras model.

    Returns:
        A dict: `model`, its name; `weights_sha256`, over dtype, shape and values of all weights in their order;
        `version`, that of the library.
    """
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(f"{weight.dtype}{weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    version = importlib.metadata.version("cgap-keras")
    return {"model": model.name, "weights_sha256": digest.hexdigest(), "version": f"cgap-keras {version}"}


def attach(path, record):
    """Puts metadata behind a file.

    Args:
        path: The path of a .tflite file without metadata.
        record: A dict that JSON can hold.
    """
    parts = {"metadata.json": json.dumps(record, indent=1) + "\n"}
    if "labels" in record:
        parts["labels.txt"] = "".join(f"{label}\n" for label in record["labels"])
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), text, zipfile.ZIP_DEFLATED)


def read_metadata(path):
    """What a file says of itself.

    Args:
        path: The path of a .tflite file.

    Returns:
        A dict, `None` of a file that was exported without `metadata`.

    Raises:
        OSError: If the file cannot be read.

    Example:

    ```python
    export(model, "runs/export", metadata={"labels": ["cat", "dog"], "preprocessing": "pixels / 255"})
    read_metadata("runs/export/float32.tflite")["labels"]  # ["cat", "dog"]
    ```
    """
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            return None
        with zipfile.ZipFile(file) as archive:
            return json.loads(archive.read("metadata.json")) if "metadata.json" in archive.namelist() else None
