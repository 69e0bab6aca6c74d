"""Cycles and buffer reads of `fpga.Systolic` beside those of SCALE-Sim 3.0.0, on random layers.

    pip install scalesim==3.0.0 'numpy<2.4'     # in an environment of its own
    python benchmarks/systolic.py --python=/path/to/that/environment/bin/python

SCALE-Sim moves the operands of a layer through the array cycle by cycle. Twenty convolutions are drawn, without zero
padding, which SCALE-Sim does not have, and small enough to be simulated; each runs on every array in every dataflow.
Its memory is set to keep up with the array. Kept of its reports are the total cycles and the words read from the SRAM
of pixels and of weights. What SCALE-Sim calls "Total Cycles" is the number of the last cycle, counted from 0: it has to
be one less than ours. Writes `benchmarks/results/systolic.json`; the exit status is 1 where a figure differs.
"""

import csv
import importlib.metadata
import json
import pathlib
import platform
import random
import subprocess
import sys
import tempfile

from absl import app, flags

from tflite_export.fpga.accelerators.systolic import Systolic

ROOT = pathlib.Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "systolic.json"
ARRAYS = ((4, 4), (8, 8), (16, 4), (4, 16), (7, 12))
DATAFLOWS = {"weight_stationary": "ws", "output_stationary": "os", "input_stationary": "is"}
PYTHON = flags.DEFINE_string("python", None, "The interpreter of an environment with SCALE-Sim.")
LAYERS = flags.DEFINE_integer("layers", 20, "How many layers are drawn.", 1)
SEED = flags.DEFINE_integer("seed", 0, "The seed of the draw.")

SIMULATE = """
import importlib.metadata, json, platform, sys
from scalesim.scale_sim import scalesim
config, topology, out = sys.argv[1:]
scalesim(save_disk_space=True, verbose=False, config=config, topology=topology, layout=topology).run_scale(out)
versions = {name: importlib.metadata.version(name) for name in ("scalesim", "numpy")}
print(json.dumps({"python": platform.python_version(), **versions}))
"""
CONFIG = """
[general]
run_name = run
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {columns}
IfmapSramSzkB = 1024
FilterSramSzkB = 1024
OfmapSramSzkB = 1024
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Dataflow = {dataflow}
ReadRequestBuffer = 64
WriteRequestBuffer = 64
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = False
"""


def main(argv):
    layers = draw_layers(LAYERS.value, random.Random(SEED.value))
    rows, versions = [], None
    for size in ARRAYS:
        for dataflow in DATAFLOWS:
            measured, versions = simulate(layers, size, dataflow)
            rows += [row(i, layers[i], Systolic(*size, dataflow), figures) for i, figures in enumerate(measured)]
            print(*size, dataflow, flush=True)
    different = sum(x["scalesim"] != x["ours"] for x in rows)
    result = {
        "command": " ".join(["python", *sys.argv]).replace(PYTHON.value, "PYTHON"),
        "environment": {"python": platform.python_version(), "numpy": importlib.metadata.version("numpy")},
        "scalesim_environment": versions,
        "figures": ["last cycle", "words read of pixels", "words read of weights"],
        "different": different,
    }
    write(result, {"layers": layers, "rows": rows})
    print(f"{len(rows)} compared, {different} different")
    return 1 if different else 0


def write(result, lists):
    """Writes the result with its lists, a line an entry."""
    lines = [json.dumps(result, indent=1).removesuffix("\n}")]
    lines += [f' "{name}": [\n  ' + ",\n  ".join(map(json.dumps, values)) + "\n ]" for name, values in lists.items()]
    RESULT.write_text(",\n".join(lines) + "\n}\n")


def draw_layers(count, rng):
    """Random convolutions, as the arguments of `Systolic.cycles` with the stride."""
    kernels = [(1, 1), (3, 3), (5, 5), (3, 1), (2, 4)]
    return [
        {
            **dict(zip(("n_kx", "n_ky"), rng.choice(kernels), strict=True)),
            "n_if": rng.randint(1, 12),
            "n_ox": rng.randint(1, 14),
            "n_oy": rng.randint(1, 14),
            "n_of": rng.randint(1, 24),
            "stride": rng.randint(1, 2),
        }
        for _ in range(count)
    ]


def simulate(layers, array, dataflow):
    """SCALE-Sim's figures for each layer, and the versions of what computed them."""
    with tempfile.TemporaryDirectory() as folder:
        config, topology, out = (pathlib.Path(folder, name) for name in ("scale.cfg", "layers.csv", "out"))
        config.write_text(CONFIG.format(rows=array[0], columns=array[1], dataflow=DATAFLOWS[dataflow]))
        lines = [topology_line(i, layer) for i, layer in enumerate(layers)]
        topology.write_text("\n".join(["name,height,width,ky,kx,channels,filters,stride,", *lines]) + "\n")
        command = [PYTHON.value, "-c", SIMULATE, str(config), str(topology), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        compute, detail = (read_report(out / "run" / f"{x}_REPORT.csv") for x in ("COMPUTE", "DETAILED_ACCESS"))
    figures = [
        [int(a["Total Cycles"]), int(b["SRAM IFMAP Reads"]), int(b["SRAM Filter Reads"])]
        for a, b in zip(compute, detail, strict=True)
    ]
    return figures, json.loads(done.stdout.splitlines()[-1])


def topology_line(index, layer):
    """A line of SCALE-Sim's topology file; the input is what the windows cover."""
    stride = layer["stride"]
    height, width = ((layer[f"n_o{axis}"] - 1) * stride + layer[f"n_k{axis}"] for axis in "yx")
    sizes = (height, width, layer["n_ky"], layer["n_kx"], layer["n_if"], layer["n_of"], stride)
    return ",".join([f"layer{index}", *map(str, sizes), ""])


def read_report(path):
    """The lines of a report as dicts."""
    with path.open(newline="") as file:
        return [{key.strip(): value for key, value in line.items() if key} for line in csv.DictReader(file)]


def row(index, layer, array, measured):
    """A layer on an array: both programs' figures."""
    loops = {name: size for name, size in layer.items() if name != "stride"}
    ours = [array.cycles(**loops) - 1, *array.reads(**loops)]
    return {"layer": index, **array.to_json(), "scalesim": measured, "ours": ours}


if __name__ == "__main__":
    flags.mark_flags_as_required(["python"])
    app.run(main)
