"""Runs a .tflite file on arrays."""

import numpy as np
from ai_edge_litert import interpreter as litert


class Interpreter:
    """A .tflite file as a function of named arrays of real numbers.

    Runs the file's first signature with the default delegates (XNNPACK on a CPU). Inputs and outputs that the file
    keeps as integers are quantized and dequantized here, by `q = round(x / scale) + zero_point` (Jacob et al.,
    "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018,
    equation 1), so that every file answers in the model's units.

    Args:
        path: The path of the file, whose batch size is 1.
        threads: How many threads it runs on.

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

    def run(self, data):
        """Runs every sample.

        Args:
            data: Dict from input name to an array `(samples, ...)`.

        Returns:
            Dict from output name to an array `(samples, ...)`.
        """
        count = len(next(iter(data.values())))
        rows = [self.run_one({name: x[i : i + 1] for name, x in data.items()}) for i in range(count)]
        return {name: np.concatenate([row[name] for row in rows]) for name in self._outputs}

    def run_one(self, sample):
        """Runs one sample, a dict from input name to an array with batch size 1, and returns the outputs likewise."""
        self.set_inputs(sample)
        self.invoke()
        return {
            name: _dequantize(self._interpreter.get_tensor(detail["index"]), detail)
            for name, detail in self._outputs.items()
        }

    def set_inputs(self, sample):
        """Copies one sample into the input tensors."""
        for name, detail in self._inputs.items():
            self._interpreter.set_tensor(detail["index"], _quantize(sample[name], detail))

    def invoke(self):
        """Runs the file on the inputs that are set: the part whose time is measured."""
        self._interpreter.invoke()


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
