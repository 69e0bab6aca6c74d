"""The stages of `grow_and_prune.py`: train dense, train with CGaP, export, estimate, write."""

import json
import math
import pathlib
import shlex
import sys
import time

import keras
import numpy as np
from machine import environment

import cgap_keras
from cgap_keras import report
from cgap_keras.report.files import write_atomically
from tflite_export import export, fpga

# As many images set the ranges of int8 activations; more changed nothing in the files' accuracy on the digits.
CALIBRATION_IMAGES = 256


find_model = cgap_keras.zoo.get
find_accelerator = fpga.accelerator


def build_pair(build, data, seed_width, seed):
    """The dense network and the seed of the same network."""
    keras.utils.set_random_seed(seed)
    shape = {"input_shape": data.input_shape, "num_classes": data.num_classes}
    return build(**shape), build(**shape, width=seed_width)


def run(dense, seed, data, accelerator, flags):
    """Trains, exports and estimates both networks; returns the summary."""
    training = Training(data, flags)
    print(f"\nDense: {cgap_keras.cost(dense).params:,} parameters")
    _, dense_seconds = training.fit(dense)
    capacity, target = (round(share * cgap_keras.cost(dense).params) for share in (flags.capacity, flags.target))
    print(f"\nCGaP: from {cgap_keras.cost(seed).params:,} parameters to at most {capacity:,}, then down to {target:,}")
    cgap = schedule(capacity, target, flags.epochs, flags.seed)
    history, compact_seconds = training.fit(seed, cgap)
    out = pathlib.Path(flags.out)
    seed.save(out / "compact.keras")
    print("\nExporting, verifying and measuring the files")
    return {
        "dataset": data.name,
        "model": flags.model,
        "seed": flags.seed,
        "epochs": flags.epochs,
        "command": shlex.join(["python", *sys.argv]),
        "environment": environment(),
        "dense": describe(dense, data, accelerator, dense_seconds, out / "dense"),
        "compact": describe(seed, data, accelerator, compact_seconds, out / "compact"),
        "edits": [edit.to_dict() for edit in cgap.history],
        "initial_widths": cgap.initial_widths,
        "training": {name: [float(x) for x in values] for name, values in history.items()},
    }


def schedule(capacity, target, epochs, seed):
    """CGaP over the first half of the epochs or so; the rest fine-tunes."""
    every = max(1, epochs // 16)
    prune_steps = min(4, max(1, (epochs - 2) // 3))
    return cgap_keras.CGaP(
        capacity, target, growth_rate=0.5 if epochs >= 9 else 1.0, prune_steps=prune_steps, every=every, seed=seed
    )


class Training:
    """One way to train, for every network."""

    def __init__(self, data, flags):
        self.data, self.flags = data, flags

    def fit(self, model, *callbacks):
        """Trains a model; returns the history and the seconds."""
        flags, data = self.flags, self.data
        steps = flags.epochs * math.ceil(len(data.x_train) / flags.batch_size)
        rate = keras.optimizers.schedules.CosineDecay(flags.learning_rate, steps)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
        # The same order of the data for every network.
        keras.utils.set_random_seed(flags.seed)
        start = time.perf_counter()
        history = model.fit(
            data.x_train,
            data.y_train,
            batch_size=flags.batch_size,
            epochs=flags.epochs,
            validation_data=(data.x_val, data.y_val),
            callbacks=list(callbacks),
            verbose=int(flags.verbose),
        )
        return history.history, time.perf_counter() - start


def describe(model, data, accelerator, seconds, folder):
    """The figures of one network: on the test split, in its files, on the accelerator."""
    cost = cgap_keras.cost(model)
    logits = model.predict(data.x_test, batch_size=256, verbose=0)
    files = export(
        model,
        folder,
        quantization=("float32", "int8"),
        representative_data=data.x_train[:CALIBRATION_IMAGES],
        verification_data=data.x_test,
        labels=data.y_test,
    )
    return {
        "accuracy": float(np.mean(logits.argmax(-1) == data.y_test)),
        "params": cost.params,
        "macs": cost.macs,
        "seconds": seconds,
        "files": {name: describe_file(file) for name, file in files.items()},
        "fpga": describe_estimate(fpga.estimate(model, accelerator, device=accelerator.device)),
    }


def describe_file(file):
    """The figures measured on one file."""
    return {
        "path": f"{file.path.parent.name}/{file.path.name}",
        "bytes": file.bytes,
        "accuracy": file.accuracy,
        "latency_ms": file.latency_ms,
        "max_abs_error": file.max_abs_error,
    }


def describe_estimate(estimate):
    """The figures of an FPGA estimate."""
    names = ("latency_ms", "dram_bytes", "dram_energy_mj", "dsp", "bram", "lut")
    figures = {name: getattr(estimate, name) for name in names}
    return {"accelerator": estimate.accelerator.name, "device": estimate.device, **figures}


def table(summary):
    """The summary as a table for the terminal."""
    return report.summary_table(summary)


def write(summary, out):
    """Writes `summary.json`, the chart of widths and the report page."""
    out = pathlib.Path(out)
    edits, widths = summary["edits"], summary["initial_widths"]
    write_atomically(out / "summary.json", json.dumps(summary, indent=1))
    report.widths_chart(edits, widths, out / "widths.png", epochs=summary["epochs"])
    report.write_page(out / "report.html", summary, edits, widths, summary["training"])
