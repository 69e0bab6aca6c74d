"""Estimates of published accelerators beside their measurements on a board.

    python benchmarks/fpga_boards.py

*Boards*: every published measurement, with one description an accelerator and board. *Choices*: what a single network
alone would have made of Ma's designs, where the papers leave the arrangement of the array open. *Pruned*: networks of
fewer and fewer operations on one board. Writes `benchmarks/results/fpga_boards.json`.
"""

import dataclasses
import functools
import importlib.metadata
import itertools
import json
import os
import pathlib
import platform
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from absl import app

import cgap_keras
from tflite_export import fpga

RESULT = pathlib.Path(__file__).parent / "results" / "fpga_boards.json"

# Vitis AI 2.5 model zoo README, frames a second with one thread.
VITIS_NETWORKS = ("ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19", "InceptionV3", "MobileNet", "MobileNetV2")
VITIS_2_5 = {
    "kv260": (93.80, 49.86, 33.98, 21.50, 18.55, 63.91, 354.19, 290.62),
    "zcu104": (93.23, 49.54, 33.81, 21.49, 18.54, 63.43, 344.85, 284.18),
    "zcu102": (87.33, 46.38, 31.64, 20.15, 17.37, 59.75, 326.62, 268.07),
}
# Vitis AI 1.1 model zoo README, milliseconds with one thread, measured with AI SDK 2.0.4 and DPU 1.4.0 at 287 MHz.
SDK_NETWORKS = ("ResNet50", "InceptionV3", "MobileNet", "MobileNetV2")
SDK_ZCU102, SDK_ULTRA96 = (12.85, 17.0, 3.20, 4.09), (30.8, 44.05, 5.97, 7.34)
SDK_2_0_4 = {"clock_mhz": 287.0, "layer_overhead_us": 22.0}
# Ma et al., FPGA 2017 (milliseconds) and FPL 2017 (10^9 operations a second, two a multiply-accumulate).
MA_GOPS = {
    "ma_arria10_200mhz": {"VGG16": 720.15, "ResNet50": 619.13, "NiN": 587.63},
    "ma_stratixv_150mhz": {"VGG16": 352.24, "ResNet50": 250.75, "NiN": 282.67},
}
# Gigaoperations and milliseconds on a ZCU102, one thread. OFA-YOLO: Vitis AI 2.5; YOLO-v2: Vitis AI 1.1 (SDK 2.0.4).
PRUNED = {
    "OFA-YOLO, 640 x 640": (640, {}, ((48.88, 1e3 / 16.87), (34.72, 1e3 / 21.53), (24.62, 1e3 / 27.71))),
    "YOLO-v2, 448 x 448": (448, SDK_2_0_4, ((34.0, 39.76), (11.56, 18.42), (9.86, 16.42), (7.82, 14.46))),
}
# Filters and kernel sizes of Darknet-19 and the head of YOLO-v2, "pool" between them.
DARKNET = (
    *((32, 3), "pool", (64, 3), "pool", (128, 3), (64, 1), (128, 3), "pool", (256, 3), (128, 1), (256, 3), "pool"),
    *((512, 3), (256, 1), (512, 3), (256, 1), (512, 3), "pool"),
    *((1024, 3), (512, 1), (1024, 3), (512, 1), (1024, 3), (1024, 3), (1024, 3), (1024, 3)),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """A measurement; `role` says whether it was fitted, in view when choices were made, or predicted."""

    accelerator: str
    network: str
    measured_ms: float
    role: str
    bound: float
    changes: tuple = ()


def main(argv):
    parts = {"boards": [estimated(row) for row in rows()], "choices": choices(), "pruned": pruned()}
    for row in parts["boards"]:
        print(
            f"{row['accelerator']:20} {row['network']:12} {row['measured_ms']:7.2f} ms, estimate "
            f"{row['estimate_ms']:6.2f}, {row['error']:+6.1%}, {row['role']:9}, "
            f"{'within' if row['within'] else 'BEYOND'} {row['bound']:.0%}  {row['changes'] or ''}"
        )
    for name in ("choices", "pruned"):
        print(name, *parts[name], sep="\n  ")
    environment = {name: importlib.metadata.version(name) for name in ("keras", "tensorflow")}
    environment["python"] = platform.python_version()
    result = {"command": " ".join(["python", *sys.argv]), "environment": environment, **parts}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def rows():
    """All measurements. Zhang et al., FPGA 2015, give 61.62 GFLOPS over the convolutions of AlexNet."""
    zhang = Row("zhang_vc707", "AlexNet", 2e-6 * macs("AlexNet") / 61.62, "predicted", 0.10)
    return (*ma_rows(), *dpu_rows(), zhang)


def ma_rows():
    """Ma's seven points. On the Stratix V, NiN alone decides what the papers leave open; see `choices`."""
    yield Row("ma_arria10_150mhz", "VGG16", 47.97, "in view", 0.10)
    for name, points in MA_GOPS.items():
        for network, gops in points.items():
            role = "in view" if "arria" in name else "fitted" if network == "NiN" else "predicted"
            yield Row(name, network, 2e-6 * macs(network) / gops, role, 0.10)


def dpu_rows():
    """Three boards under Vitis AI 2.5, two under AI SDK 2.0.4."""
    for board, rates in VITIS_2_5.items():
        for network, rate in zip(VITIS_NETWORKS, rates, strict=True):
            fitted = board == "kv260" and network in ("InceptionV3", "MobileNet")
            role = "fitted" if fitted else "predicted"
            yield Row(f"dpu_b4096_{board}", network, 1e3 / rate, role, dpu_bound(network))
    for network, measured in zip(SDK_NETWORKS, SDK_ZCU102, strict=True):
        role = "fitted" if network == "ResNet50" else "predicted"
        yield Row("dpu_b4096_zcu102", network, measured, role, dpu_bound(network), tuple(SDK_2_0_4.items()))
    for network, measured in zip(SDK_NETWORKS, SDK_ULTRA96, strict=True):
        yield Row("dpu_b1600_ultra96", network, measured, "predicted", dpu_bound(network))


def dpu_bound(network):
    """20 % where fully connected or depthwise layers weigh most."""
    return 0.20 if network.startswith(("VGG", "MobileNet")) else 0.10


def estimated(row):
    """A row with its estimate, as a dict; of Zhang's only the convolutions, which is what was measured."""
    estimate = fpga.estimate(workload(row.network), fpga.accelerator(row.accelerator, **dict(row.changes)))
    kinds = ("conv",) if row.network == "AlexNet" else {layer.kind for layer in estimate.layers}
    ms = sum(layer.latency_us for layer in estimate.layers if layer.kind in kinds) / 1e3
    error = ms / row.measured_ms - 1
    plain = dataclasses.asdict(row) | {"changes": dict(row.changes)}
    return plain | {"estimate_ms": ms, "error": error, "within": abs(error) <= row.bound, "dsp": estimate.dsp}


def choices():
    """The arrangement of each of Ma's FPL 2017 designs that one network alone prefers, and the errors that follow."""
    found = []
    for name, points in MA_GOPS.items():
        candidates = [arrangement(name, *choice) for choice in arrangements()]
        errors = [errors_of(candidate, points) for candidate in candidates]
        for fitted in points:
            best = min(range(len(errors)), key=lambda i: abs(errors[i][fitted]))
            chosen = candidates[best]
            found.append(
                {
                    "accelerator": name,
                    "fitted": fitted,
                    "unroll": dict(chosen.unroll),
                    "output_words_per_cycle": chosen.output_words_per_cycle,
                    "dma_bits": chosen.dma_bits,
                    "errors": errors[best],
                }
            )
    return found


def arrangements():
    """Columns and rows of the array, rows of results that leave a cycle, and ports of 512 bits."""
    return itertools.product(((7, 7), (14, 7), (7, 14), (14, 14)), (1, 2, 4), (1, 2))


def arrangement(name, shape, rows_out, ports):
    """A design of Ma's with its MAC units arranged otherwise."""
    columns, lines = shape
    maps = fpga.accelerator(name).mac_units // (columns * lines)
    return fpga.accelerator(
        name,
        unroll={"of": maps, "ox": columns, "oy": lines},
        output_words_per_cycle=columns * rows_out,
        dma_bits=512 * ports,
        fully_connected_unroll={"of": 32 * ports},
    )


def errors_of(accelerator, points):
    """Relative errors of the time, by network."""
    reached = {network: fpga.estimate(workload(network), accelerator).throughput_gops for network in points}
    return {network: gops / reached[network] - 1 for network, gops in points.items()}


def pruned():
    """Stacks of convolutions with a published network's operations, all widths narrowed alike, beside its time."""
    found = []
    for name, (size, changes, points) in PRUNED.items():
        accelerator = fpga.accelerator("dpu_b4096_zcu102", **changes)
        for gigaoperations, measured in points:
            model = darknet(size, width_for(size, gigaoperations))
            row = {"network": name, "gop": gigaoperations, "measured_ms": measured}
            found.append(row | {"estimate_ms": fpga.estimate(model, accelerator).latency_ms})
    return found


def width_for(size, gigaoperations):
    """The factor of all widths that gives so many operations, by bisection."""
    low, high = 0.1, 2.0
    for _ in range(12):
        middle = (low + high) / 2
        fewer = 2e-9 * cgap_keras.cost(darknet(size, middle)).macs < gigaoperations
        low, high = (middle, high) if fewer else (low, middle)
    return low


def darknet(size, width):
    """Darknet-19 with the head of YOLO-v2, its shortcut left out."""
    image = x = keras.Input((size, size, 3))
    for layer in DARKNET:
        x = keras.layers.MaxPooling2D(2)(x) if layer == "pool" else convolution(x, round(layer[0] * width), layer[1])
    return keras.Model(image, keras.layers.Conv2D(125, 1)(x))


def convolution(x, filters, kernel, stride=1, groups=1, padding="same"):
    layer = keras.layers.Conv2D(filters, kernel, stride, padding, groups=groups, activation="relu")
    return layer(x)


def nin():
    """Network in Network for ImageNet (Lin et al., ICLR 2014), as in Caffe's model zoo: 2.2 gigaoperations."""
    image = x = keras.Input((224, 224, 3))
    stages = ((96, 11, 4, "valid", 96), (256, 5, 1, "same", 256), (384, 3, 1, "same", 384), (1024, 3, 1, "same", 1000))
    for i, (filters, kernel, stride, padding, last) in enumerate(stages):
        if i:
            x = keras.layers.MaxPooling2D(3, 2, padding="same" if i == 1 else "valid")(x)
        x = convolution(x, filters, kernel, stride, padding=padding)
        x = convolution(convolution(x, filters, 1), last, 1)
    return keras.Model(image, keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(x)))


def alexnet():
    """The convolutions of AlexNet (Krizhevsky et al., 2012), in its two groups: 1.33 gigaoperations."""
    image = x = keras.Input((227, 227, 3))
    x = keras.layers.MaxPooling2D(3, 2)(convolution(x, 96, 11, 4, padding="valid"))
    x = keras.layers.MaxPooling2D(3, 2)(convolution(x, 256, 5, groups=2))
    x = convolution(convolution(convolution(x, 384, 3), 384, 3, groups=2), 256, 3, groups=2)
    return keras.Model(image, x)


@functools.cache
def workload(network):
    """The layers of a network by its name, in `keras.applications` or here."""
    own = {"NiN": nin, "AlexNet": alexnet}
    model = own[network]() if network in own else getattr(keras.applications, network)(weights=None)
    return fpga.workload(model)


def macs(network):
    return sum(layer.macs for layer in workload(network))


if __name__ == "__main__":
    app.run(main)
