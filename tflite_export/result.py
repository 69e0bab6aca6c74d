"""What an export found out: one row for each file, as objects, as a table, as JSON."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class OutputError:
    """How far one output of a file is from the Keras model's.

    Attributes:
        name: The name of the output.
        max_abs: The greatest absolute difference over all samples.
        mean_abs: The mean absolute difference.
        span: The range of the Keras model's output over the samples: greatest minus least value.
        argmax_agreement: The share of samples with the same largest output, or `None` where the output has one value.
    """

    name: str
    max_abs: float
    mean_abs: float
    span: float
    argmax_agreement: float | None


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """One file: where it is, how true it is, how fast.

    Attributes:
        quantization: The name of the quantization.
        path: The path of the file.
        bytes: The size of the file.
        latency_ms: Median time of one sample, in milliseconds.
        latency_spread_ms: Distance between the quartiles of the time.
        latency_runs: How many runs were timed.
        memory_bytes: The heap that loading and running it took: activations, packed weights and the interpreter;
            `None` where the C library is not GNU's.
        accuracy: The share of right answers on the labels, or `None` without labels.
        outputs: An `OutputError` for each output.
        operators: The names of the operators in the file, in order.
        float_weights: Names of weights left in float32 although the quantization asked for less; empty where all are
            quantized.
        arena_bytes: The size of the tensor arena under tflite-micro, or `None` where the file was not run there.
        micro_refusal: Why tflite-micro cannot run the file, or `None`.
    """

    quantization: str
    path: pathlib.Path
    bytes: int
    latency_ms: float
    latency_spread_ms: float
    latency_runs: int
    memory_bytes: int | None
    accuracy: float | None
    outputs: tuple
    operators: tuple
    float_weights: tuple = ()
    arena_bytes: int | None = None
    micro_refusal: str | None = None

    @property
    def max_abs_error(self):
        """The greatest absolute difference from the Keras model, over samples and outputs."""
        return max(output.max_abs for output in self.outputs)

    @property
    def mean_abs_error(self):
        """The mean absolute difference from the Keras model, of the output where it is largest."""
        return max(output.mean_abs for output in self.outputs)

    @property
    def argmax_agreement(self):
        """The share of samples with the same largest output as the Keras model, of the output where it is least; or "
        "`None`."""
        shares = [output.argmax_agreement for output in self.outputs if output.argmax_agreement is not None]
        return min(shares, default=None)


@dataclasses.dataclass(frozen=True)
class ExportResult(Mapping):
    """What `export` returns: a mapping from the name of a quantization to its `ExportedFile`, printable as a table.

    Attributes:
        model: The name of the Keras model.
        directory: Where the files are.
        files: The `ExportedFile`s in the order asked.
        samples: How many samples the files were verified on.
        data: Where these came from: `"verification_data"`, `"representative_data"` or `"standard normal samples, seed
            0"`.
        threads: How many threads the files ran on.
        keras_accuracy: The Keras model's accuracy on the same samples, or `None` without labels.
        environment: Processor and versions that the measurements belong to.
    """

    model: str
    directory: pathlib.Path
    files: tuple
    samples: int
    data: str
    threads: int
    keras_accuracy: float | None
    environment: dict

    def __getitem__(self, quantization):
        for file in self.files:
            if file.quantization == quantization:
                return file
        raise KeyError(quantization)

    def __iter__(self):
        return iter(file.quantization for file in self.files)

    def __len__(self):
        return len(self.files)

    def __str__(self):
        micro = any(file.arena_bytes or file.micro_refusal for file in self.files)
        lines = [
            f"{self.model}: {len(self)} TFLite {'file' if len(self) == 1 else 'files'} in {self.directory}",
            f"verified on {self.samples} samples ({self.data}), timed with batch size 1 on {_threads(self.threads)}",
            "",
            *_table([_header(micro), *(_cells(file, micro) for file in self.files)]),
        ]
        if self.keras_accuracy is not None:
            lines.append(f"accuracy of the Keras model on the same samples: {self.keras_accuracy:.2%}")
        for file in self.files:
            if file.float_weights:
                lines.append(f"{file.quantization}: weights left in float32: {', '.join(file.float_weights)}")
            if file.micro_refusal:
                lines.append(f"{file.quantization}: {file.micro_refusal}")
        return "\n".join(lines)

    def to_json(self):
        """The result as JSON text; paths are relative to the directory."""
        record = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        record.update(directory=str(self.directory), files=[_record(file) for file in self.files])
        return json.dumps(record, indent=2, allow_nan=False) + "\n"


_HEADER = (
    *("quantization", "bytes", "max error", "mean error", "same class", "accuracy", "latency ms", "quartile range"),
    "memory bytes",
)


def _threads(count):
    return "one thread" if count == 1 else f"{count} threads"


def _header(micro):
    return (*_HEADER, "arena bytes") if micro else _HEADER


def _cells(file, micro):
    arena = "-" if file.arena_bytes is None else f"{file.arena_bytes:,}"
    return (*_common_cells(file), arena) if micro else _common_cells(file)


def _common_cells(file):
    return (
        file.quantization,
        f"{file.bytes:,}",
        f"{file.max_abs_error:.2e}",
        f"{file.mean_abs_error:.2e}",
        "-" if file.argmax_agreement is None else f"{file.argmax_agreement:.2%}",
        "-" if file.accuracy is None else f"{file.accuracy:.2%}",
        f"{file.latency_ms:.3f}",
        f"{file.latency_spread_ms:.3f}",
        "-" if file.memory_bytes is None else f"{file.memory_bytes:,}",
    )


def _table(rows):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        yield "  ".join(
            [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        )


def _record(file):
    derived = {name: getattr(file, name) for name in ("max_abs_error", "mean_abs_error", "argmax_agreement")}
    return {**dataclasses.asdict(file), "path": file.path.name, **derived}
