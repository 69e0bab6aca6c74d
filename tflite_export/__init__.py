"""Export a Keras model to TFLite files that are quantized, verified against the model, and measured.

Nothing here imports Keras or TensorFlow before a name is used, so a command line can refuse a wrong flag at once, and
TensorFlow stays in the child process that converts. `from tflite_export import fpga` gives the estimator that needs
neither.
"""

import importlib

_PACKAGES = ("fpga", "tfmot")
_HOMES = {
    "export": "tflite_export.exporter",
    "ExportResult": "tflite_export.result",
    "ExportedFile": "tflite_export.result",
    "OutputError": "tflite_export.result",
    "QUANTIZATIONS": "tflite_export.quantization",
    "Quantization": "tflite_export.quantization",
    "Tolerance": "tflite_export.quantization",
    "Interpreter": "tflite_export.interpreter",
    "file_bytes": "tflite_export.currencies",
    "latency_ms": "tflite_export.currencies",
    "c_array": "tflite_export.micro",
    "read_metadata": "tflite_export.metadata",
}

__all__ = [
    "QUANTIZATIONS",
    "ExportResult",
    "ExportedFile",
    "Interpreter",
    "OutputError",
    "Quantization",
    "Tolerance",
    "c_array",
    "export",
    "file_bytes",
    "fpga",
    "latency_ms",
    "read_metadata",
    "tfmot",
]


def __getattr__(name):
    if name in _PACKAGES:
        return importlib.import_module(f"tflite_export.{name}")
    if name in _HOMES:
        value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
