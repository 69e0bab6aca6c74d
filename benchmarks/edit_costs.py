"""What edits cost a training: time a step, time an edit, memory over many edits.

    KERAS_BACKEND=torch python benchmarks/edit_costs.py

Writes `benchmarks/results/edit_costs_BACKEND.json`. `--only=step` (`edit`, `memory`) measures one part again.
"""

import gc
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import time

import keras
import numpy as np
from absl import app, flags

import cgap_keras
from benchmarks.structure_jobs import read_memory
from cgap_keras.report.files import write_atomically
from cgap_keras.saliency import CRITERIA, GradientObserver

# Turns of one step with an observer and one without.
WARM_UP, PAIRS, BATCH = 4, 300, 128
EDITS, READ_EVERY = 200, 20
PARTS = ("step", "edit", "memory")

_ONLY = flags.DEFINE_multi_enum("only", None, PARTS, "Measure these parts and keep the others' figures.")


def main(argv):
    del argv
    backend = keras.backend.backend()
    path = pathlib.Path(__file__).parent / "results" / f"edit_costs_{backend}.json"
    result = json.loads(path.read_text()) if _ONLY.value and path.exists() else {}
    command = f"KERAS_BACKEND={backend} python benchmarks/edit_costs.py"
    result |= {"command": command, "environment": environment(backend)}
    measures = dict(zip(PARTS, (measure_step, measure_edit, measure_memory), strict=True))
    for name in _ONLY.value or PARTS:
        result[name] = measures[name]()
        write_atomically(path, json.dumps(result, indent=1) + "\n")
        print(json.dumps({name: result[name]}))


def environment(backend):
    packages = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}
    versions = {name: importlib.metadata.version(name) for name in ("keras", packages[backend])}
    return {"python": platform.python_version(), "cores": os.cpu_count(), **versions}


def measure_step():
    """Seconds of a step of ResNet-20 with the observer of `CGaP` and of its twin without it, step for step in turns."""
    x, y = images(BATCH)
    plain, observed = (compiled(cgap_keras.zoo.resnet20()) for _ in range(2))
    groups = [group for group in cgap_keras.find_groups(observed) if not group.frozen]
    GradientObserver(observed, groups, CRITERIA["taylor"]).attach()
    turns = []
    for number in range(WARM_UP + PAIRS):
        # Each goes first as often as the other.
        order = (plain, observed) if number % 2 else (observed, plain)
        seconds = {id(model): timed(lambda model=model: model.train_on_batch(x, y))[1] for model in order}
        turns.append((seconds[id(plain)], seconds[id(observed)]))
    turns = np.array(turns[WARM_UP:])
    # What disturbs the machine disturbs both steps of a turn: their ratio is steadier than either.
    ratios = turns[:, 1] / turns[:, 0] - 1
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (1000, len(ratios))), axis=1)
    return {
        "network": "ResNet-20",
        "batch": BATCH,
        "turns": PAIRS,
        "median_seconds": dict(zip(("plain", "observed"), np.median(turns, axis=0).tolist(), strict=True)),
        "overhead_percent": 100 * float(np.median(ratios)),
        "overhead_percent_95_interval": (100 * np.quantile(medians, (0.025, 0.975))).tolist(),
    }


def measure_edit():
    """Seconds of the edits that `CGaP` makes of ResNet-110 in `fit`, and of the first step after each."""
    model, data = compiled(cgap_keras.zoo.resnet110(width=0.5)), images(32)
    params = model.count_params()
    cgap = Timed(capacity=round(1.6 * params), target=round(0.6 * params), growth_rate=0.25, prune_steps=2, seed=0)
    model.fit(*data, batch_size=16, epochs=7, verbose=0, callbacks=[cgap])
    kinds = [edit.kind for edit in cgap.history]
    return {
        "network": "ResNet-110 from half its width, Adam",
        "kinds": kinds,
        "seconds_an_edit": cgap.edits[: len(kinds)],
        "seconds_of_apply": cgap.applies,
        "seconds_of_the_first_step_after": [first for first, _ in cgap.steps],
        "seconds_of_a_later_step": statistics.median(later for _, later in cgap.steps),
    }


class Timed(cgap_keras.CGaP):
    """Takes the time of its edits, and of the first and the last step of each epoch."""

    def __init__(self, **options):
        super().__init__(**options)
        self.edits, self.applies, self.steps = [], [], []

    def on_epoch_begin(self, epoch, logs=None):
        known = len(self.history)
        _, seconds = timed(lambda: super(Timed, self).on_epoch_begin(epoch, logs))
        if len(self.history) > known:
            self.edits.append(seconds)
            self.applies.append(self.history[-1].seconds)
        self._times = []

    def on_train_batch_begin(self, batch, logs=None):
        self._times.append(time.perf_counter())

    def on_train_batch_end(self, batch, logs=None):
        self._times[-1] = time.perf_counter() - self._times[-1]

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.steps.append((self._times[0], self._times[-1]))


def measure_memory():
    """MiB of the process over many edits of a small network, that grows and shrinks and takes a step in between."""
    model, (x, y) = compiled(cgap_keras.zoo.digits_cnn()), images(16, (8, 8, 1))
    read = {}
    for number in range(1, EDITS + 1):
        groups = [group for group in cgap_keras.find_groups(model) if not group.frozen]
        units = {group.name: range(group.size) for group in groups}
        # Every second edit takes the units away that the one before it has added.
        cgap_keras.apply(
            model, {name: [*x, *x[:2]] if number % 2 else x[:-2] for name, x in units.items()}, noise=0.1, seed=number
        )
        model.train_on_batch(x, y)
        if number % READ_EVERY == 0:
            gc.collect()
            read[number] = read_memory("VmRSS") / 2**20
    later = sorted(read)[len(read) // 2 :]
    slope = np.polyfit(later, [read[number] for number in later], 1)[0]
    return {"network": "digits_cnn", "mib_after_edits": read, "mib_an_edit_in_the_second_half": float(slope)}


def compiled(model):
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def images(count, shape=(32, 32, 3)):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, *shape)).astype("float32"), rng.integers(0, 10, count)


def timed(function):
    start = time.perf_counter()
    return function(), time.perf_counter() - start


if __name__ == "__main__":
    app.run(main)
