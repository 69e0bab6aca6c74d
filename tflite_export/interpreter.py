"""Runs a .tflite file on arrays."""

import numpy as np
from ai_edge_litert import interpreter as litert

# Of a file that takes any number of samples.
_BATCH = 32


class Interpreter:
    """A .tflite file as a function of named arrays of real numbers.

    Runs the file's first signature with the default delegates (XNNPACK on a CPU). Inputs and outputs that the file
    keeps as integers are quantized and dequantized here, by `q = round(x / scale) + zero_point` (Jacob et al.,
    "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018,
    equation 1), so that every file answers in the model's units.

    Args:
        path: The path of the file, whose batch size is 1 or open.
        threads: How many threads it runs on.

    Attributes:
        dynamic_batch: Whether the file's batch size is open.
        output_count: How many outputs the file has.

    Raises:
        ValueError: If the file cannot be loaded.

    Example:

    ```python
    outputs = Interpreter("runs/int8.tflite").run({"image": images})
    outputs["probabilities"].shape  # (len(images), 10)
    ```
    """

    def __init__(self, path, threads=1):
        try:
            self._interpreter = litert.Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"`path` must name a TFLite file that the interpreter can run; it says: {error} "
                f"Received: path={str(path)!r}"
            ) from error
        runner = self._interpreter.get_signature_runner()
        self._inputs, self._outputs = runner.get_input_details(), runner.get_output_details()
        self.dynamic_batch = all(-1 in detail["shape_signature"][:1] for detail in self._inputs.values())
        self.output_count = len(self._interpreter.get_output_details())
        self._batch = 1

    def run(self, data):
        """Runs every sample: one by one, or several at once where the file's batch size is open.

        Args:
            data: Dict from input name to an array `(samples, ...)`.

        Returns:
            Dict from output name to an array `(samples, ...)`.
        """
        count, step = len(next(iter(data.values()))), _BATCH if self.dynamic_batch else 1
        parts = [self._run_batch({name: x[i : i + step] for name, x in data.items()}) for i in range(0, count, step)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def set_inputs(self, samples):
        """Copies samples into the input tensors.

        Args:
            samples: Dict from input name to an array; its first axis counts one sample, or any number where the file's
                batch size is open.
        """
        self._resize(len(next(iter(samples.values()))))
        for name, detail in self._inputs.items():
            self._interpreter.set_tensor(detail["index"], _quantize(samples[name], detail))

    def invoke(self):
        """Runs the file on the inputs that are set: the part whose time is measured."""
        self._interpreter.invoke()

    def to_tensors(self, samples):
        """The arrays that the file takes for some samples.

        Args:
            samples: Dict from input name to an array `(samples, ...)` of real numbers.

        Returns:
            A list of arrays in the order of the file's inputs, integers where the file keeps integers.
        """
        by_index = {detail["index"]: _quantize(samples[name], detail) for name, detail in self._inputs.items()}
        return [by_index[detail["index"]] for detail in self._interpreter.get_input_details()]

    def from_tensors(self, tensors):
        """The real numbers that some arrays of the file stand for.

        Args:
            tensors: A list of arrays in the order of the file's outputs.

        Returns:
            Dict from output name to an array.
        """
        indices = [detail["index"] for detail in self._interpreter.get_output_details()]
        by_index = dict(zip(indices, tensors, strict=True))
        return {name: _dequantize(by_index[detail["index"]], detail) for name, detail in self._outputs.items()}

    def _run_batch(self, samples):
        self.set_inputs(samples)
        self.invoke()
        details = self._interpreter.get_output_details()
        return self.from_tensors([self._interpreter.get_tensor(detail["index"]) for detail in details])

    def _resize(self, count):
        if count == self._batch:
            return
        for detail in self._inputs.values():
            self._interpreter.resize_tensor_input(detail["index"], (count, *detail["shape"][1:]))
        self._interpreter.allocate_tensors()
        self._batch = count


def _quantize(values, detail):
    scale, zero_point = detail["quantization"]
    values, dtype = np.asarray(values), np.dtype(detail["dtype"])
    if not scale or dtype.kind == "f" or values.dtype.kind != "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(dtype)


def _dequantize(values, detail):
    scale, zero_point = detail["quantization"]
    if not scale or values.dtype.kind == "f":
        return values
    return ((values.astype(np.float32) - zero_point) * scale).astype(np.float32)
