"""Estimates a network on an FPGA accelerator from the shell.

```
python -m tflite_export.fpga --model=model.keras --accelerator=ma_arria10_200mhz --device=arria10_gx1150
--out=estimate.json
```
"""

import json
import pathlib
import sys

from absl import app, flags

_MODEL = flags.DEFINE_string("model", None, "The network: a .keras or a .tflite file.")
_ACCELERATOR = flags.DEFINE_string("accelerator", None, "An accelerator of fpga.ACCELERATORS.")
_DEVICE = flags.DEFINE_string("device", None, "A device of fpga.DEVICES; by default the accelerator's own.")
_OUT = flags.DEFINE_string("out", None, "Where to write the estimate as JSON; nowhere by default.")


def run(model, accelerator, device=None, out=None):
    """Estimates a file's network, writes the JSON where asked to, and returns the table.

    Args:
        model: The path of a .keras or .tflite file.
        accelerator: A name in `fpga.ACCELERATORS`.
        device: A name in `fpga.DEVICES`; `None` takes the accelerator's own.
        out: The path of a JSON file to write, or `None`.

    Returns:
        The table as text.

    Raises:
        ValueError: If a name is not known, or the network cannot be estimated.
        OSError: If a file cannot be read or written.
    """
    import keras

    from tflite_export import fpga

    accelerator = fpga.accelerator(accelerator)
    device = None if device is None else fpga.device(device)
    path = pathlib.Path(model)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file to estimate. Received: model={model!r}")
    loaded = path if path.suffix == ".tflite" else keras.models.load_model(path, compile=False)
    estimate = fpga.estimate(loaded, accelerator, device)
    if out is not None:
        pathlib.Path(out).write_text(json.dumps(estimate.to_json(), indent=2) + "\n", encoding="utf-8")
    return str(estimate)


def main(argv):
    """Runs the command; the exit status is 1 after an error."""
    del argv
    try:
        print(run(_MODEL.value, _ACCELERATOR.value, _DEVICE.value, _OUT.value))
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    flags.mark_flags_as_required(["model", "accelerator"])
    app.run(main)
