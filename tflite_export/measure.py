"""Latency of a file on this machine."""

import dataclasses
import time

import numpy as np

_WARM_UP = 5
_MIN_RUNS = 20
_MAX_RUNS = 1000
_BUDGET_S = 0.5


@dataclasses.dataclass(frozen=True)
class Latency:
    """How long one sample takes.

    Attributes:
        median_ms: The median of the runs, in milliseconds.
        spread_ms: The distance between their quartiles: half of the runs lie within it.
        runs: How many runs were timed.
    """

    median_ms: float
    spread_ms: float
    runs: int


def measure_latency(interpreter, sample):
    """Times a file on one sample.

    Warms up with 5 runs, then times 20 to 1000 runs, as many as half a second admits. Copying the sample in and the
    outputs out is not counted. The median and the quartiles are taken because a run that another process interrupts
    says nothing about the file.

    Args:
        interpreter: An `Interpreter`.
        sample: Dict from input name to an array with batch size 1.

    Returns:
        A `Latency`.
    """
    interpreter.set_inputs(sample)
    for _ in range(_WARM_UP):
        interpreter.invoke()
    times, end = [], time.perf_counter() + _BUDGET_S
    while len(times) < _MIN_RUNS or (len(times) < _MAX_RUNS and time.perf_counter() < end):
        start = time.perf_counter()
        interpreter.invoke()
        times.append(1e3 * (time.perf_counter() - start))
    lower, median, upper = np.percentile(times, (25, 50, 75))
    return Latency(float(median), float(upper - lower), len(times))
