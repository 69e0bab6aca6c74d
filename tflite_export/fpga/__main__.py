"""Estimates a network on an FPGA accelerator from the shell, or searches for an accelerator that suits it.

```
python -m tflite_export.fpga --model=model.keras --accelerator=ma_arria10_200mhz --device=arria10_gx1150
--out=estimate.json --plots=plots
python -m tflite_export.fpga --model=model.keras --explore --device=zu9eg --objective=energy --share=0.8
```
"""

import json
import pathlib
import sys

from absl import app, flags

_MODEL = flags.DEFINE_string("model", None, "The network: a .keras or a .tflite file.")
_ACCELERATOR = flags.DEFINE_string(
    "accelerator", None, "An accelerator of fpga.ACCELERATORS; with --explore, what all designs share with it."
)
_DEVICE = flags.DEFINE_string("device", None, "A device of fpga.DEVICES; by default the accelerator's own.")
_OUT = flags.DEFINE_string("out", None, "Where to write the estimate, or the search, as JSON; nowhere by default.")
_PLOTS = flags.DEFINE_string(
    "plots", None, "Folder for roofline.svg and layers.svg (the time of each layer); none by default."
)
_EXPLORE = flags.DEFINE_bool("explore", False, "Search for the unroll factors and buffers that suit the network best.")
_OBJECTIVE = flags.DEFINE_string("objective", None, "What --explore minimises: latency (the default) or energy.")
_SHARE = flags.DEFINE_float("share", None, "Share of the device that --explore may take; 1 by default.")


def run(model, accelerator=None, device=None, out=None, plots=None, search=None):
    """Estimates a file's network or searches for its accelerator, writes what is asked for, and returns the table.

    Nothing is written before all is computed, and each file is complete or not there.

    Args:
        model: The path of a .keras or .tflite file.
        accelerator: A name in `fpga.ACCELERATORS`; a search does without.
        device: A name in `fpga.DEVICES`; `None` takes the accelerator's own.
        out: The path of a JSON file to write, or `None`.
        plots: A folder to write `roofline.svg` and `layers.svg` to, or `None`.
        search: `None` estimates the accelerator; a dict of `objective` and `share`, as in `fpga.explore`, searches.

    Returns:
        The table as text.

    Raises:
        ValueError: If a name is not known, or the network cannot be estimated.
        OSError: If a file cannot be read or written.
    """
    from cgap_keras.report.files import write_atomically

    result = _result(model, accelerator, device, search)
    files = {} if out is None else {pathlib.Path(out): json.dumps(result.to_json(), indent=2) + "\n"}
    if plots is not None:
        from tflite_export.fpga.plots.layer_chart import layer_chart
        from tflite_export.fpga.plots.roofline import roofline

        estimate = result if search is None else result.estimate
        for name, draw in (("roofline", roofline), ("layers", layer_chart)):
            files[pathlib.Path(plots) / f"{name}.svg"] = draw(estimate)
    for path, text in files.items():
        write_atomically(path, text)
    return str(result)


def _result(model, accelerator, device, search):
    """The `Estimate` or the `Exploration`; names are looked up before the network is read."""
    import keras

    from tflite_export import fpga
    from tflite_export.fpga.design.explore import explore

    if accelerator is None and (search is None or device is None):
        missing = "`accelerator` must be given" if search is None else "`device` or `accelerator` must be given"
        raise ValueError(f"{missing}. Received: accelerator=None, device={device!r}")
    base = None if accelerator is None else fpga.accelerator(accelerator)
    device = None if device is None else fpga.device(device)
    path = pathlib.Path(model)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file to estimate. Received: model={model!r}")
    loaded = path if path.suffix == ".tflite" else keras.models.load_model(path, compile=False)
    if search is None:
        return fpga.estimate(loaded, base, device)
    return explore(loaded, device or base.device, base, **search)


def _search():
    """The arguments of the search, or `None` where there is none."""
    given = {flag.name: flag.value for flag in (_OBJECTIVE, _SHARE) if flag.value is not None}
    if given and not _EXPLORE.value:
        raise ValueError(f"--{' and --'.join(given)} must come with --explore. Received: {given}")
    return given if _EXPLORE.value else None


def main(argv):
    """Runs the command; the exit status is 1 after an error."""
    del argv
    try:
        print(run(_MODEL.value, _ACCELERATOR.value, _DEVICE.value, _OUT.value, _PLOTS.value, _search()))
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    flags.mark_flags_as_required(["model"])
    app.run(main)
