"""How fast `fpga.explore` and `fpga.estimate` are on ResNet-110.

    python benchmarks/fpga_explore.py

Spaces of several sizes on a ZU9EG, 200 MHz, 8 bits; the whole call but for reading the model into its loops, the best
of several runs. *Estimated* designs are those that fit the device and whose buffers hold every layer; the others were
considered and ruled out. The processor's time beside the clock's says how busy the machine was. *Cold* is an estimate
with nothing kept from an earlier one, *warm* the same again. Writes `benchmarks/results/fpga_explore.json`.
"""

import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags

PATH = pathlib.Path(__file__).parent / "results" / "fpga_explore.json"
RUNS = flags.DEFINE_integer("runs", 5, "How often each search is timed.", 1)
DEVICE, ACCELERATOR = "zu9eg", "ma_arria10_200mhz"

FINER = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
SPACES = {
    "small": {"of": [8, 16, 32], "if": [4, 8, 16], "ox": [4, 8], "oy": [1, 4, 8]},
    "default": {},
    "finer buffers": {f"{name}_buffer_kib": [1, 1.5, *FINER[1:]] for name in ("input", "weight", "output")},
    "finer factors": {"of": FINER, "if": FINER},
    "output pixels as one loop": {"oxy": [1, 2, 4, 8, 14, 16, 28, 32, 64, 128]},
}


def main(argv):
    from cgap_keras import zoo
    from tflite_export import fpga

    work = fpga.workload(zoo.resnet110())
    result = {"command": " ".join(["python", *sys.argv]), "environment": environment()}
    result["explore"] = {name: time_search(work, space) for name, space in SPACES.items()}
    result["estimate_ms"] = time_estimate(work)
    PATH.write_text(json.dumps(result, indent=1) + "\n")


def time_search(work, space):
    """Counts, the best times in seconds, and designs a second of one search."""
    from tflite_export.fpga.design.explore import explore

    times = []
    for _ in range(RUNS.value):
        forget()
        start = time.perf_counter(), time.process_time()
        found = explore(work, DEVICE, space=space)
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    seconds, processor_seconds = map(min, zip(*times, strict=True))
    row = {
        **{name: getattr(found, name) for name in ("considered", "too_large", "untileable", "estimated")},
        "front": len(found.front),
        "seconds": seconds,
        "processor_seconds": processor_seconds,
        "considered_a_second": found.considered / seconds,
        "estimated_a_second": found.estimated / seconds,
        "best": found.best.name,
        "latency_ms": found.estimate.latency_ms,
    }
    print(row, flush=True)
    return row


def time_estimate(work):
    """Milliseconds of an estimate, the median and the least, cold and warm."""
    from tflite_export import fpga

    times = {"cold": [], "warm": []}
    for _ in range(20):
        forget()
        for state in times:
            start = time.perf_counter()
            fpga.estimate(work, ACCELERATOR)
            times[state].append(1e3 * (time.perf_counter() - start))
    return {state: {"median": statistics.median(ms), "least": min(ms)} for state, ms in times.items()}


def forget():
    """Drops what the package keeps of earlier estimates."""
    import functools

    for name, module in list(sys.modules.items()):
        if name.startswith("tflite_export.fpga"):
            for value in vars(module).values():
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


def environment():
    processor = next(
        line.partition(":")[2].strip()
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    versions = {name: importlib.metadata.version(name) for name in ("keras", "numpy")}
    load = os.getloadavg()[0]
    return {
        "processor": processor,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": load,
        **versions,
    }


if __name__ == "__main__":
    app.run(main)
