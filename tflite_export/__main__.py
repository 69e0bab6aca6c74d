"""Exports a saved Keras model from the shell.

Example:

```sh
python -m tflite_export --model=model.keras --representative_data=samples.npz --quantization=float32,int8 --out=exported
```

Prints the table of the files. A wrong flag or a model that cannot be exported is one line on stderr and exit status 1.
"""

import json
import pathlib
import sys
import zipfile

import numpy as np
from absl import app, flags

from tflite_export.quantization import QUANTIZATIONS, lookup

_MODEL = flags.DEFINE_string("model", None, "The Keras model to export, a .keras file.")
_OUT = flags.DEFINE_string("out", None, "The directory to write to.")
_QUANTIZATION = flags.DEFINE_list(
    "quantization", ["float32", "float16", "int8"], f"One or more of: {', '.join(QUANTIZATIONS)}."
)
_REPRESENTATIVE_DATA = flags.DEFINE_string(
    "representative_data",
    None,
    "Samples that set the ranges of the activations, an .npz file: one array for each input, under the input's name (a "
    "single array may have any name). Needed for int8 and int16x8.",
)
_VERIFICATION_DATA = flags.DEFINE_string(
    "verification_data", None, "Samples to verify on, in the same form. Default: the representative data."
)
_LABELS = flags.DEFINE_string(
    "labels", None, "The right classes of the verification samples, an .npy file of integers, to count accuracy with."
)
_INTEGER_IO = flags.DEFINE_bool(
    "integer_io", False, "Whether int8 and int16x8 files take and return integers instead of float32."
)

_WEIGHT_BITS = flags.DEFINE_list(
    "weight_bits",
    [],
    "Bits of the weights of single layers in int8_dynamic and int4_weights files: stem:32,logits:8.",
)
_DYNAMIC_BATCH = flags.DEFINE_bool("dynamic_batch", False, "Whether the files take any number of samples at once.")
_THREADS = flags.DEFINE_integer("threads", 1, "How many threads the files run on when they are verified and timed.", 1)
_METADATA = flags.DEFINE_string(
    "metadata", None, 'What to put into the files, a .json file: {"labels": ["cat", ...], "preprocessing": "..."}.'
)
_MICRO = flags.DEFINE_bool(
    "micro",
    False,
    "Whether to run the files under tflite-micro too, for the size of its arena, and to write C++ source.",
)

_FILES = {"model": (_MODEL, ".keras"), "labels": (_LABELS, ".npy"), "metadata": (_METADATA, ".json")} | {
    flag.name: (flag, ".npz") for flag in (_REPRESENTATIVE_DATA, _VERIFICATION_DATA)
}


def check_flags():
    """Refuses flags that cannot work, before anything is imported that takes long.

    Raises:
        ValueError: Names the flag.
    """
    for flag in (_MODEL, _OUT):
        if not flag.value:
            raise ValueError(f"--{flag.name} must be given. Received: --{flag.name}={flag.value or ''}")
    rows = lookup(_QUANTIZATION.value)
    for name, (flag, suffix) in _FILES.items():
        path = pathlib.Path(flag.value or "")
        if flag.value and not (path.is_file() and path.suffix == suffix):
            raise ValueError(f"--{name} must name a {suffix} file that is there. Received: --{name}={flag.value}")
        if flag.value and suffix in (".keras", ".npz") and not zipfile.is_zipfile(path):
            raise ValueError(f"--{name} must name a whole {suffix} file. Received: --{name}={flag.value}")
    _weight_bits()
    needy = [row.name for row in rows if row.needs_data]
    if needy and not _REPRESENTATIVE_DATA.value:
        raise ValueError(
            f"--quantization={','.join(needy)} needs --representative_data. Received: --representative_data="
        )


def main(argv):
    """Loads what the flags name, exports, prints the table."""
    if argv[1:]:
        raise ValueError(f"Arguments must be flags, --name=value. Received: {' '.join(argv[1:])}")
    check_flags()
    representative_data = _samples(_REPRESENTATIVE_DATA)
    verification_data = _samples(_VERIFICATION_DATA)
    labels = None if _LABELS.value is None else _read(_LABELS)
    metadata = None if _METADATA.value is None else _read_json(_METADATA)

    import keras

    from tflite_export import export

    result = export(
        keras.saving.load_model(_MODEL.value, compile=False),
        _OUT.value,
        _QUANTIZATION.value,
        representative_data,
        labels,
        verification_data=verification_data,
        integer_io=_INTEGER_IO.value,
        weight_bits=_weight_bits(),
        dynamic_batch=_DYNAMIC_BATCH.value,
        threads=_THREADS.value,
        metadata=metadata,
        micro=_MICRO.value,
    )
    print(result)


def run(argv):
    """`main` with its errors as one line on stderr.

    Args:
        argv: The command line, the program's name first.

    Returns:
        The exit status: 0, or 1 after an error.
    """
    try:
        main(flags.FLAGS(argv))
    except (flags.Error, ValueError, TypeError, RuntimeError, OSError) as error:
        print(f"tflite_export: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _samples(flag):
    """The arrays of an .npz file by name; of a single array, the array."""
    if flag.value is None:
        return None
    arrays = _read(flag)
    return arrays if len(arrays) > 1 else next(iter(arrays.values()), None)


def _read(flag):
    try:
        with open(flag.value, "rb") as file:
            content = np.load(file, allow_pickle=False)
            return {name: content[name] for name in content.files} if hasattr(content, "files") else content
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"--{flag.name} must hold NumPy arrays of numbers ({error}). Received: --{flag.name}={flag.value}"
        ) from error


def _weight_bits():
    """`{layer: bits}`, or `None` where no layer is named."""
    pairs = [text.rpartition(":") for text in _WEIGHT_BITS.value]
    if not all(name and bits.isdecimal() for name, _, bits in pairs):
        raise ValueError(
            f"--weight_bits must be layers and bits, name:8. Received: --weight_bits={','.join(_WEIGHT_BITS.value)}"
        )
    return {name: int(bits) for name, _, bits in pairs} or None


def _read_json(flag):
    try:
        return json.loads(pathlib.Path(flag.value).read_text())
    except (ValueError, OSError) as error:
        raise ValueError(f"--{flag.name} must hold JSON ({error}). Received: --{flag.name}={flag.value}") from error


if __name__ == "__main__":
    # Not `app.run`, which answers a wrong flag with the whole usage.
    app.define_help_flags()
    sys.exit(run(sys.argv))
