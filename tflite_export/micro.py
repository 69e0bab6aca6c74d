"""Microcontrollers: what a file needs under tflite-micro, and the file as source code of firmware.

Needs the extra `micro`. tflite-micro runs in a process of its own: it tells its allocations on standard error alone,
and a kernel of it may end the process.
"""

import dataclasses
import importlib.util
import pathlib
import re
import tempfile

import numpy as np

from tflite_export.child import run_module

_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")
# Its kernels are the plain ones, a hundred times slower than those of a phone.
_SAMPLES = 4
_BYTES_A_LINE = 12


@dataclasses.dataclass(frozen=True)
class MicroRun:
    """A file under tflite-micro.

    Attributes:
        arena_bytes: The size of the tensor arena that it used: activations, and what the runtime keeps of each tensor.
            Measured on this machine; where pointers are shorter, what the runtime keeps is smaller.
        outputs: Dict from output name to an array, of the first samples.
    """

    arena_bytes: int
    outputs: dict


def check_micro():
    """Refuses to go on without tflite-micro.

    Raises:
        ValueError: If it is not installed.
    """
    if importlib.util.find_spec("tflite_micro") is None:
        raise ValueError(
            "`micro` needs tflite-micro: install the extra, `pip install cgap-keras[micro]`. Received: micro=True"
        )


def run_micro(path, interpreter, samples):
    """Runs a file under tflite-micro.

    Args:
        path: The path of a .tflite file.
        interpreter: The file's `Interpreter`, which knows its inputs and outputs.
        samples: Dict from input name to an array `(samples, ...)`, of which the first four are run.

    Returns:
        A `MicroRun`.

    Raises:
        ValueError: If tflite-micro cannot run the file, with its own words.
    """
    inputs = interpreter.to_tensors({name: x[:_SAMPLES] for name, x in samples.items()})
    with tempfile.TemporaryDirectory(prefix="tflite_micro_") as folder:
        np.savez(pathlib.Path(folder, "inputs.npz"), *inputs)
        finished = run_module("tflite_export.micro_run", path, folder, interpreter.output_count)
        if finished.returncode:
            raise ValueError(f"tflite-micro cannot run the file: {_reason(finished)} Received: path={str(path)!r}")
        with np.load(pathlib.Path(folder, "outputs.npz")) as arrays:
            outputs = interpreter.from_tensors([arrays[name] for name in arrays.files])
    return MicroRun(int(_TOTAL.search(finished.stderr)[1]), outputs)


def _reason(finished):
    """What tflite-micro said before the exception of its Python interface, which says less."""
    lines = [line.strip() for line in finished.stderr.splitlines()]
    words = [line for line in lines[: _first(lines, "Traceback")] if line]
    return f"{words[-1] if words else f'status {finished.returncode}'}."


def _first(lines, beginning):
    return next((i for i, line in enumerate(lines) if line.startswith(beginning)), len(lines))


def c_array(content, name):
    """A file as C++ source: an array that firmware compiles in and hands to `tflite::GetModel`.

    Args:
        content: The bytes of a .tflite file.
        name: The name of the array, a C identifier.

    Returns:
        A tuple of two texts: the header `{name}.h`, and the source `{name}.cc`.

    Raises:
        ValueError: If the name is no C identifier.

    Example:

    ```python
    header, source = c_array(pathlib.Path("runs/int8.tflite").read_bytes(), "int8_model")
    ```
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise ValueError(f"`name` must be a C identifier. Received: name={name!r}")
    declaration = f"extern const unsigned char {name}[];\nextern const unsigned int {name}_len;\n"
    header = f"#ifndef {name.upper()}_H_\n#define {name.upper()}_H_\n\n{declaration}\n#endif  // {name.upper()}_H_\n"
    rows = [content[i : i + _BYTES_A_LINE] for i in range(0, len(content), _BYTES_A_LINE)]
    lines = "\n".join("    " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows)
    # FlatBuffers are read in place, and want their largest scalar aligned.
    array = f"alignas(16) const unsigned char {name}[] = {{\n{lines}\n}};\n"
    return header, f'#include "{name}.h"\n\n{array}const unsigned int {name}_len = {len(content)};\n'
