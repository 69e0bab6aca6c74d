"""What an edit should do with optimizer state: loss after each edit and accuracy at the end, over three ways.

    TF_ENABLE_ONEDNN_OPTS=0 python benchmarks/slot_ablation.py --data_dir=...

`carried`: slots go with their units, and a new unit has its parent's; this is what `apply` does. `zero_new`: a new
unit's slots are zero. `reset`: all slots are zero and the step count too, as those of an optimizer that is made anew.
Each runs with Adam and with SGD with momentum, on MNIST and CIFAR-10, over several seeds; accuracies are of images held
out of the training data. Writes `benchmarks/results/slot_ablation.json`, and goes on with what is missing there.
"""

import dataclasses
import importlib.metadata
import itertools
import json
import pathlib
import platform
import statistics

import keras
import numpy as np
from absl import app, flags

import cgap_keras
from cgap_keras.report.files import write_atomically
from cgap_keras.structure.layout import spread_over_axis
from cgap_keras.surgery.plan import is_new_unit
from cgap_keras.surgery.slots import find_slots
from examples import datasets

WAYS = ("carried", "zero_new", "reset")
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(1e-3),
    "sgd_momentum": lambda: keras.optimizers.SGD(0.02, momentum=0.9),
}
# Losses are averaged over so many steps after an edit.
SOON, BATCH = 10, 64
RESULT = pathlib.Path(__file__).parent / "results" / "slot_ablation.json"

KEYS = ("dataset", "optimizer", "seed", "way")

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder with prepared TFDS data sets.")


@dataclasses.dataclass(frozen=True)
class Task:
    """A network, on how many images, how long and from what width it grows and shrinks, and over how many seeds."""

    network: str
    limit: int
    epochs: int
    seed_width: float
    seeds: int


TASKS = {"mnist": Task("lenet5", 6000, 8, 0.25, 3), "cifar10": Task("resnet20", 3000, 9, 0.25, 2)}

_DATASETS = flags.DEFINE_list("datasets", list(TASKS), "Which data sets.")
_OPTIMIZERS = flags.DEFINE_list("optimizers", list(OPTIMIZERS), "Which optimizers.")


def main(argv):
    del argv
    result = {
        "command": "TF_ENABLE_ONEDNN_OPTS=0 python benchmarks/slot_ablation.py",
        "environment": {"python": platform.python_version(), "backend": keras.backend.backend()}
        | {name: importlib.metadata.version(name) for name in ("keras", "tensorflow")},
        "tasks": {name: dataclasses.asdict(task) for name, task in TASKS.items()},
        "runs": json.loads(RESULT.read_text())["runs"] if RESULT.exists() else [],
    }
    done = {tuple(run[key] for key in KEYS) for run in result["runs"]}
    for run in itertools.product(_DATASETS.value, _OPTIMIZERS.value, range(max(x.seeds for x in TASKS.values())), WAYS):
        if run not in done and run[2] < TASKS[run[0]].seeds:
            result["runs"].append(train(*run))
            result["summary"] = summarize(result["runs"])
            write_atomically(RESULT, json.dumps(result, indent=1) + "\n")


def train(dataset, optimizer, seed, way):
    """One run: losses around each edit, and the accuracy at the end."""
    task = TASKS[dataset]
    data = datasets.load(dataset, _DATA_DIR.value, limit=task.limit, validation=0.2)
    keras.utils.set_random_seed(seed)
    build = getattr(cgap_keras.zoo, task.network)
    options = {"input_shape": data.input_shape, "num_classes": data.num_classes}
    dense = cgap_keras.cost(build(**options)).params
    model = build(width=task.seed_width, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(OPTIMIZERS[optimizer](), loss, metrics=["accuracy"])
    cgap = cgap_keras.CGaP(round(0.3 * dense), round(0.1 * dense), growth_rate=0.5, prune_steps=3, seed=seed)
    losses = Losses()
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=BATCH,
        epochs=task.epochs,
        callbacks=[cgap, State(way), losses],
        verbose=0,
    )
    steps = len(losses.values) // task.epochs
    edits = [
        {
            "kind": edit.kind,
            "before": float(np.mean(losses.values[edit.epoch * steps - SOON : edit.epoch * steps])),
            "soon_after": float(np.mean(losses.values[edit.epoch * steps : edit.epoch * steps + SOON])),
            "epoch_after": float(np.mean(losses.values[edit.epoch * steps : (edit.epoch + 1) * steps])),
        }
        for edit in cgap.history
    ]
    accuracy = model.evaluate(data.x_val, data.y_val, verbose=0)[1]
    return dict(zip(KEYS, (dataset, optimizer, seed, way), strict=True)) | {
        "params": model.count_params(),
        "validation_accuracy": accuracy,
        "edits": edits,
    }


class Losses(keras.callbacks.Callback):
    """The loss of every step: Keras tells the mean since the epoch began."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self._mean = logs["loss"] if batch == 0 else self._mean
        self.values.append(logs["loss"] * (batch + 1) - self._mean * batch)
        self._mean = logs["loss"]


class State(keras.callbacks.Callback):
    """Does to optimizer state, after an edit, what the way says."""

    def __init__(self, way):
        super().__init__()
        self._way = way

    def follow_edit(self, report, transaction):
        optimizer = self.model.optimizer
        if self._way == "reset":
            optimizer.iterations.assign(0)
        kept = {} if self._way == "carried" else self._kept(report)
        for slot in find_slots(optimizer):
            for axis, mask in kept.get(id(slot.variable), ()) if slot.axes else ():
                shape = [-1 if i == axis else 1 for i in range(len(slot.variable.shape))]
                slot.value.assign(slot.value * mask.reshape(shape).astype("float32"))

    def _kept(self, report):
        """`{id(variable): (axis, 1 where state is kept) pairs}`."""
        variables = cgap_keras.structure.find_variables(self.model)
        if self._way == "reset":
            return {id(x): [(0, np.zeros(x.shape[0]))] for x in variables.values()}
        kept = {}
        for group in cgap_keras.find_groups(self.model):
            if group.name in report.plan:
                old = {group.index: ~is_new_unit(report.plan[group.name])}
                for axis in group.axes:
                    mask = spread_over_axis(axis.runs, old)
                    kept.setdefault(id(variables[axis.variable]), []).append((axis.axis, mask))
        return kept


def summarize(runs):
    """Means over seeds: of how much the loss rises from before an edit to soon after it, and of the accuracy."""
    summary = {}
    for run in runs:
        key = f"{run['dataset']}, {run['optimizer']}, {run['way']}"
        summary.setdefault(key, []).append(run)
    return {key: _means(some) for key, some in summary.items()}


def _means(runs):
    rises = {
        kind: [edit["soon_after"] - edit["before"] for run in runs for edit in run["edits"] if edit["kind"] == kind]
        for kind in ("grow", "prune")
    }
    accuracies = [run["validation_accuracy"] for run in runs]
    return {
        "seeds": len(runs),
        **{f"loss_rise_after_{kind}": statistics.mean(values) for kind, values in rises.items() if values},
        "validation_accuracy": statistics.mean(accuracies),
        "validation_accuracy_each": accuracies,
    }


if __name__ == "__main__":
    app.run(main)
