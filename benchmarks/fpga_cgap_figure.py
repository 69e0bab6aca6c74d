"""ResNet-110 at the cost that CGaP reports, on FPGA designs: which structure explains the reported savings.

    python benchmarks/fpga_cgap_figure.py

CGaP's paper prunes ResNet-110 to -63.3 % operations and -64.0 % parameters and reports -40.2 % latency and -11.8 %
DRAM energy on an FPGA, but no widths. *Structures* have the same cost and other widths; every one is estimated on every
*design*, beside the dense network. Writes `benchmarks/results/fpga_cgap_figure.json` and `.svg`.
"""

import importlib.metadata
import json
import os
import pathlib
import platform
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app

import cgap_keras
from cgap_keras import zoo
from cgap_keras.report import palette
from cgap_keras.report.canvas import Canvas, legend, render
from tflite_export import fpga

RESULT = pathlib.Path(__file__).parent / "results" / "fpga_cgap_figure.json"
REPORTED = {"macs": -0.633, "params": -0.640, "latency": -0.402, "dram_energy": -0.118}
MA = ("Arria 10, 200 MHz", "Arria 10, 150 MHz", "Stratix V, 150 MHz")
DESIGNS = {
    "Arria 10, 200 MHz": ("ma_arria10_200mhz", {}),
    "Arria 10, 150 MHz": ("ma_arria10_150mhz", {}),
    "Stratix V, 150 MHz": ("ma_stratixv_150mhz", {}),
    "Arria 10, 8 bits": ("ma_arria10_200mhz", {"weight_bits": 8, "activation_bits": 8}),
    "Arria 10 as 32, 14, 7": ("ma_arria10_200mhz", {"unroll": {"of": 32, "ox": 14, "oy": 7}}),
    "Arria 10 as 64, 7, 7": ("ma_arria10_200mhz", {"unroll": {"of": 64, "ox": 7, "oy": 7}}),
    "Arria 10 as 4, 28, 28": ("ma_arria10_200mhz", {"unroll": {"of": 4, "ox": 28, "oy": 28}}),
    "Arria 10, DRAM at half": ("ma_arria10_200mhz", {"dram_efficiency": 0.35}),
    "Arria 10, 20 us a layer": ("ma_arria10_200mhz", {"layer_overhead_us": 20.0}),
}


def main(argv):
    dense = zoo.resnet110()
    models = {name: resized(dense, widths) for name, widths in structures(dense).items()}
    cost = cgap_keras.cost(dense)
    costs = {name: cgap_keras.cost(model) for name, model in models.items()}
    result = {
        "command": " ".join(["python", *sys.argv]),
        "environment": environment(),
        "reported": REPORTED,
        "structures": {
            name: {"macs": x.macs / cost.macs - 1, "params": x.params / cost.params - 1} for name, x in costs.items()
        },
        "designs": {design: on_design(design, dense, models) for design in DESIGNS},
    }
    for name, row in result["structures"].items():
        print(f"{name:32}", ", ".join(f"{key} {value:+.1%}" for key, value in row.items()))
    for design, rows in result["designs"].items():
        for name in result["structures"]:
            change = rows[name]["change"]
            print(f"{design:24}{name:32}", ", ".join(f"{key} {value:+.1%}" for key, value in change.items()))
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    RESULT.with_suffix(".svg").write_bytes(render(figure(result), "svg"))


def structures(dense):
    """Widths by the name of the group, for structures of the reported number of operations."""
    cost = cgap_keras.cost(dense).macs
    wanted = (1 + REPORTED["macs"]) * cost
    rules = {
        "inner widths": inner_widths,
        "all widths": all_widths,
        "inner widths, late blocks first": late_first,
        "inner widths, multiples of 16": in_sixteens,
    }
    return {name: bisected(dense, rule, wanted) for name, rule in rules.items()}


def inner_widths(groups, share):
    """Every block's inner width alike; the stream keeps its width."""
    return {group.name: kept(group, share if is_inner(group) else 1.0) for group in groups}


def all_widths(groups, share):
    """Every width alike, the stream's too."""
    return {group.name: kept(group, share) for group in groups}


def late_first(groups, share):
    """Inner widths that fall from block to block of a stage, as far as to a quarter of its first block's."""
    widths = {}
    for group in groups:
        place = int(group.name.partition("block")[2].partition("_")[0]) / 18 if is_inner(group) else 0.0
        widths[group.name] = kept(group, min(1.0, share * (1.6 - 1.2 * place)) if is_inner(group) else 1.0)
    return widths


def in_sixteens(groups, share):
    """Inner widths that fill the array's 16 maps in so many blocks of a stage; the others keep one unit."""
    widths = {}
    for group in groups:
        if is_inner(group):
            place = int(group.name.partition("block")[2].partition("_")[0])
            full = int(place * share) > int((place - 1) * share)
            widths[group.name] = group.size if full else 1
        else:
            widths[group.name] = group.size
    return widths


def is_inner(group):
    """Whether a group lies inside a block; the others are the residual stream."""
    return group.name.endswith("_conv1")


def kept(group, share):
    return max(1, round(share * group.size))


def bisected(dense, rule, wanted):
    """The widths under a rule whose operations come nearest to the wanted number."""
    groups = [group for group in cgap_keras.find_groups(dense) if not group.frozen]
    found, low, high = {}, 0.05, 1.0
    for _ in range(8):
        middle = (low + high) / 2
        widths = rule(groups, middle)
        macs = cgap_keras.cost(resized(dense, widths)).macs
        found[abs(macs - wanted)] = widths
        low, high = (middle, high) if macs < wanted else (low, middle)
    return found[min(found)]


def resized(dense, widths):
    groups = [group for group in cgap_keras.find_groups(dense) if not group.frozen]
    plan = {group.name: range(widths[group.name]) for group in groups if widths[group.name] != group.size}
    return cgap_keras.rebuild(dense, plan)


def on_design(design, dense, models):
    """What every structure saves on a design; `weights on chip` and `maps on chip` leave the other in DRAM."""
    name, changes = DESIGNS[design]
    accelerator = fpga.accelerator(name, **changes)
    before = totals(dense, accelerator)
    rows = {"dense": {"before": before}}
    for structure, model in models.items():
        after = totals(model, accelerator)
        rows[structure] = {"change": {key: after[key] / before[key] - 1 for key in before}, "after": after}
    return rows


def totals(model, accelerator):
    estimate = fpga.estimate(model, accelerator)
    return {
        "latency": estimate.latency_ms,
        "dram_energy": estimate.dram_energy_mj,
        "dram_energy, weights on chip": estimate.feature_map_bytes,
        "dram_energy, maps on chip": estimate.weight_bytes,
    }


def figure(result):
    """Savings of each structure: latency on Ma's designs, and DRAM energy by what stays on chip."""
    names = list(result["structures"])
    canvas = Canvas(7.6, [0.32 * len(names) + 0.4] * 2, 1.95, 0.4)
    changes = {design: [result["designs"][design][name]["change"] for name in names] for design in MA}
    latency = {design: [change["latency"] for change in changes[design]] for design in MA}
    energy = {
        "weights and maps in DRAM": [change["dram_energy"] for change in changes[MA[0]]],
        "weights on chip": [change["dram_energy, weights on chip"] for change in changes[MA[0]]],
        "maps on chip": [change["dram_energy, maps on chip"] for change in changes[MA[0]]],
    }
    for i, (title, series, key) in enumerate(
        (("Latency", latency, "latency"), (f"DRAM energy, {MA[0]}", energy, "dram_energy"))
    ):
        draw(canvas.panels[i], names, series, REPORTED[key])
        canvas.panels[i].tick_params(labelbottom=i == 1)
        canvas.title(i, title, f"line: {REPORTED[key]:+.1%} as reported")
    return canvas.figure


def draw(axes, names, series, reported):
    """Dots of several series, a row a structure, and a line at the reported value."""
    places = range(len(names))[::-1]
    styles = (("o", "ink"), ("s", "grow"), ("^", "prune"))
    marks = [
        axes.plot(values, places, shape, color=palette.light(colour), markersize=6, zorder=3)[0]
        for values, (shape, colour) in zip(series.values(), styles, strict=True)
    ]
    axes.axvline(reported, 0.2, color=palette.light("muted"), linewidth=1.2, zorder=2)
    axes.set_yticks(list(places), names)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="both", color=palette.light("line"), linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlim(-0.7, 0.0)
    axes.set_ylim(-1.4, len(names) - 0.5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    legend(axes, marks, list(series), "lower right", (1, 0), borderaxespad=0.4)


def environment():
    versions = {name: importlib.metadata.version(name) for name in ("keras", "tensorflow")}
    return {"python": platform.python_version(), **versions}


if __name__ == "__main__":
    app.run(main)
