"""The child process that runs a file under tflite-micro.

Run as `python -m tflite_export.micro_run FILE FOLDER OUTPUTS`. `FOLDER` holds `inputs.npz`: for each input of the file,
in its order, an array whose first axis counts the samples. The values of so many outputs are left in `outputs.npz`; on
standard error tflite-micro tells what the arena holds.
"""

import contextlib
import pathlib
import sys

import numpy as np
from tflite_micro.python.tflite_micro import runtime

# How much is offered, in bytes, until it is enough: what is used does not depend on it.
_ARENAS = (1 << 20, 1 << 24, 1 << 28, 1 << 30)


def main(file, folder, outputs):
    """Runs every sample and tells the allocations."""
    folder = pathlib.Path(folder)
    interpreter = _load(pathlib.Path(file).read_bytes())
    with np.load(folder / "inputs.npz") as arrays:
        inputs = [arrays[name] for name in arrays.files]
    rows = [_run(interpreter, [x[i : i + 1] for x in inputs], int(outputs)) for i in range(len(inputs[0]))]
    interpreter.print_allocations()
    np.savez(folder / "outputs.npz", *map(np.concatenate, zip(*rows, strict=True)))


def _load(content):
    for arena in _ARENAS[:-1]:
        # Not enough, or an operator is missing: the last attempt tells.
        with contextlib.suppress(RuntimeError):
            return runtime.Interpreter.from_bytes(content, arena_size=arena)
    return runtime.Interpreter.from_bytes(content, arena_size=_ARENAS[-1])


def _run(interpreter, sample, outputs):
    for index, x in enumerate(sample):
        interpreter.set_input(x, index)
    interpreter.invoke()
    return [np.array(interpreter.get_output(index)) for index in range(outputs)]


if __name__ == "__main__":
    main(*sys.argv[1:])
