"""A made-up run with the shape of a real one: a small network grows for some epochs, then is pruned."""

import math

import numpy as np
import pytest

from cgap_keras.report import Edit

SEED_WIDTHS = {"conv2d": 6, "conv2d_1": 12, "conv2d_2": 16, "dense": 24}


def parameters(widths):
    """Parameters of a chain of 3x3 convolutions (groups with "conv" in the name) and dense layers, for ten classes."""
    total, before = 0, 1
    for group, units in widths.items():
        kernel = 9 if "conv" in group else 1
        total += (kernel * before + 1) * units
        before = units
    return total + (before + 1) * 10


def make_edits(widths, kinds, rng, first_epoch=1):
    """One edit for each kind: `grow` gives a fifth of each group's units a sibling, `prune` takes a sixth away."""
    edits, widths = [], dict(widths)
    for number, kind in enumerate(kinds):
        plan, scores, before = {}, {}, dict(widths)
        for group, units in before.items():
            score = rng.gamma(2.0, size=units)
            order = np.argsort(-score)
            if kind == "grow":
                index = np.concatenate([np.arange(units), np.sort(order[: max(1, units // 5)])])
            else:
                index = np.sort(order[: units - max(1, units // 6)])
            plan[group], scores[group], widths[group] = index, score, len(index)
        edits.append(
            Edit(
                epoch=first_epoch + 2 * number,
                step=469 * (first_epoch + 2 * number),
                kind=kind,
                units_before=sum(before.values()),
                units_after=sum(widths.values()),
                params_before=parameters(before),
                params_after=parameters(widths),
                macs_before=40 * parameters(before),
                macs_after=40 * parameters(widths),
                widths=dict(widths),
                plan=plan,
                scores=scores,
                seconds=0.4 + 0.01 * number,
            )
        )
    return edits


def make_summary(edits, accuracies=(0.9915, 0.9903)):
    """The summary of a run that ended with `edits`, against a dense network of 61,706 parameters."""

    def side(accuracy, params, macs, seconds):
        files = {
            name: {
                "path": f"models/lenet5_{name}.tflite",
                "bytes": int(params * width + 3200),
                "accuracy": accuracy - drop,
                "latency_ms": macs / 2.1e6 * speed,
                "max_abs_error": error,
            }
            for name, width, drop, speed, error in (
                ("float32", 4, 0.0, 1.0, 2.4e-7),
                ("int8", 1, 0.0004, 0.55, 0.03125),
            )
        }
        fpga = {
            "accelerator": "of16-ox14-oy14",
            "device": "arria10_gx1150",
            "latency_ms": macs / 1.7e6,
            "dram_bytes": 2 * params + 9000,
            "dram_energy_mj": (2 * params + 9000) * 560e-9,
            "dsp": 1568,
            "bram": 412,
            "lut": None,
        }
        return {"accuracy": accuracy, "params": params, "macs": macs, "seconds": seconds, "files": files, "fpga": fpga}

    last = edits[-1]
    return {
        "dataset": "MNIST",
        "model": "LeNet-5",
        "seed": 0,
        "epochs": 32,
        "command": "python -m examples.train --model=lenet5 --dataset=mnist --epochs=32 --seed=0",
        "environment": {"python": "3.11.2", "keras": "3.15.1", "tensorflow": "2.21.0", "backend": "tensorflow"},
        "dense": side(accuracies[0], 61706, 416520, 214.3),
        "compact": side(accuracies[1], last.params_after, last.macs_after // 7, 187.9),
        "edits": [edit.to_dict() for edit in edits],
    }


def make_history(epochs, edits, rng):
    """Accuracy and loss that rise and fall as in training, with a dip at each pruning."""
    dips = {edit.epoch for edit in edits if edit.kind == "prune"}
    history = {"accuracy": [], "loss": [], "val_accuracy": [], "val_loss": []}
    for epoch in range(1, epochs + 1):
        dip = 0.006 if epoch - 1 in dips else 0.0
        value = 0.992 - 0.12 * math.exp(-epoch / 3) - dip
        history["accuracy"].append(value + 0.004 * (epoch / epochs))
        history["loss"].append(3.1 * (1 - value) * (1 - 0.4 * epoch / epochs))
        history["val_accuracy"].append(value + 0.001 * rng.normal())
        history["val_loss"].append(3.1 * (1 - value) + 0.003 * rng.normal())
    return history


@pytest.fixture
def edits():
    return make_edits(SEED_WIDTHS, ["grow"] * 8 + ["prune"] * 6, np.random.default_rng(0))


@pytest.fixture
def summary(edits):
    return make_summary(edits)


@pytest.fixture
def history(edits):
    return make_history(32, edits, np.random.default_rng(1))
