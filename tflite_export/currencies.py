"""What the file of a model costs, as functions of the model: currencies of a `cgap_keras.Budget`."""

import dataclasses
import tempfile
from collections.abc import Callable

from tflite_export import data
from tflite_export.child import convert_in_child
from tflite_export.interpreter import Interpreter
from tflite_export.measure import measure_latency
from tflite_export.model_checks import check_model
from tflite_export.quantization import check_data, lookup


def file_bytes(quantization="float32", representative_data=None):
    """Makes the function that tells how large a model's TFLite file is.

    A network then grows or is pruned to a size on the device. Every choice of widths that is considered is converted in
    a process of its own, which takes some seconds; about ten are, at each edit. Files are not verified here: weights
    that are still being trained say nothing of those that will be.

    Args:
        quantization: One of those that `export` takes. Defaults to `"float32"`.
        representative_data: As `export` takes it, for a quantization that needs it. A few samples do: they decide the
            ranges in the file, not its size.

    Returns:
        A function of a `keras.Model` that returns a number of bytes.

    Raises:
        ValueError: If the quantization is unknown, or needs data and has none. The function: if the model cannot be
            converted.

    Example:

    ```python
    target = cgap_keras.Budget(48 * 1024, tflite_export.file_bytes("int8", x_train[:8]))
    model.fit(x, y, epochs=20, callbacks=[cgap_keras.Pruning(target)])
    ```
    """
    return FileCost(quantization, representative_data, _size)


def latency_ms(quantization="float32", representative_data=None, threads=1):
    """Makes the function that tells how long a model's TFLite file takes for one sample on this machine.

    As `file_bytes`, in milliseconds: the median over half a second of runs. A busy machine wavers by some percent, and
    neighbouring widths may come out the wrong way round; so the network ends as near to the amount as that.

    Args:
        quantization: One of those that `export` takes. Defaults to `"float32"`.
        representative_data: As `export` takes it, for a quantization that needs it. A few samples do.
        threads: How many threads it runs on. Defaults to 1.

    Returns:
        A function of a `keras.Model` that returns milliseconds.

    Raises:
        ValueError: If the quantization is unknown, or needs data and has none. The function: if the model cannot be
            converted.
    """

    return FileCost(quantization, representative_data, _latency, threads)


@dataclasses.dataclass(frozen=True)
class FileCost:
    """A function of a model: what is measured of its file. Its fields tell one from another when a training goes on.

    Attributes:
        quantization: How the file is made.
        representative_data: See `file_bytes`.
        measure: What the file's path, some samples and the number of threads give.
        threads: How many threads the file runs on.
    """

    quantization: str
    representative_data: object = dataclasses.field(repr=False, compare=False)
    measure: Callable
    threads: int = 1

    def __post_init__(self):
        check_data(lookup((self.quantization,)), self.representative_data is not None)

    def __call__(self, model):
        """The cost of a model's file."""
        signature, calibration = check_model(model), None
        if self.representative_data is not None:
            calibration = data.as_arrays(self.representative_data, signature, "representative_data")
        rows = lookup((self.quantization,))
        with tempfile.TemporaryDirectory(prefix="tflite_export_") as folder:
            path = convert_in_child(model, rows, folder, calibration)[self.quantization]
            return self.measure(path, calibration or data.random_arrays(signature), self.threads)


def _size(path, samples, threads):
    return path.stat().st_size


def _latency(path, samples, threads):
    return measure_latency(Interpreter(path, threads), {name: x[:1] for name, x in samples.items()}).median_ms
