"""Looks at one converted file: what is in it, what it answers, how fast, and what a microcontroller would need."""

import dataclasses

from tflite_export.contents import read_contents
from tflite_export.interpreter import Interpreter
from tflite_export.measure import measure_latency
from tflite_export.memory import measure_memory
from tflite_export.micro import run_micro
from tflite_export.result import ExportedFile
from tflite_export.verify import accuracy, check_contents, compare


@dataclasses.dataclass(frozen=True)
class Examiner:
    """What files are held against, and how.

    Attributes:
        samples: Dict from input name to an array of verification samples.
        reference: Dict from output name to the Keras model's answers.
        labels: The right classes of the samples, or `None`.
        threads: How many threads a file runs on.
        micro: Whether it runs under tflite-micro too.
    """

    samples: dict
    reference: dict
    labels: object = None
    threads: int = 1
    micro: bool = False

    def examine(self, path, row):
        """Verifies and measures a file.

        Args:
            path: The path of the file.
            row: The `Quantization` it was made with.

        Returns:
            An `ExportedFile`.

        Raises:
            ValueError: If the file is out of bound, does not run, or is not what was asked.
        """
        contents = read_contents(path)
        check_contents(contents, row)
        interpreter = load(path, row, self.threads)
        outputs = interpreter.run(self.samples)
        errors = compare(self.reference, outputs, row, contents.output_steps)
        sample = {name: x[:1] for name, x in self.samples.items()}
        latency = measure_latency(interpreter, sample)
        return ExportedFile(
            quantization=row.name,
            path=path,
            bytes=path.stat().st_size,
            latency_ms=latency.median_ms,
            latency_spread_ms=latency.spread_ms,
            latency_runs=latency.runs,
            memory_bytes=measure_memory(path, sample, self.threads),
            accuracy=None if self.labels is None else accuracy(*outputs.values(), self.labels),
            outputs=errors,
            operators=contents.operators,
            float_weights=() if row.weights == "FLOAT32" else contents.float_weights,
            **self._examine_micro(path, row, interpreter, contents),
        )

    def _examine_micro(self, path, row, interpreter, contents):
        """Files that tflite-micro cannot run are common, so a refusal is a finding; a wrong answer is an error."""
        if not self.micro:
            return {}
        try:
            run = run_micro(path, interpreter, self.samples)
        except ValueError as error:
            return {"micro_refusal": str(error)}
        count = len(next(iter(run.outputs.values())))
        compare({name: y[:count] for name, y in self.reference.items()}, run.outputs, row, contents.output_steps)
        return {"arena_bytes": run.arena_bytes}


def load(path, row, threads=1):
    """An `Interpreter` of a file.

    Args:
        path: The path of the file.
        row: The `Quantization` it was made with.
        threads: How many threads it runs on.

    Returns:
        An `Interpreter`.

    Raises:
        ValueError: If the file does not run.
    """
    try:
        return Interpreter(path, threads)
    except ValueError as error:
        raise ValueError(
            f"The {row.name} file does not run, so ask for another quantization. The interpreter says: "
            f"{error.__cause__} Received: quantization={row.name!r}"
        ) from error
