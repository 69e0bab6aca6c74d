"""What the defaults of the method rest on: one option of CGaP varied at a time, over tasks and seeds.

    KERAS_BACKEND=torch OMP_NUM_THREADS=1 python benchmarks/choices.py --mnist=mnist.npz

PyTorch, because it has not to trace anything anew after an edit, on one thread, so that several can run side by side.
Every run grows and prunes a network to the same budget and is judged on images held out of the training data; no test
image is looked at. Writes `benchmarks/results/choices.json`, going on with what is missing there, and the tables of
`docs/choices.md` from it.
"""

import dataclasses
import importlib.metadata
import itertools
import json
import math
import pathlib
import platform
import statistics
import time

import keras
from absl import app, flags

import cgap_keras
from cgap_keras.policy import GrowthPolicy, PruningPolicy
from cgap_keras.report.files import write_atomically
from cgap_keras.saliency import CRITERIA
from examples import datasets

ROOT = pathlib.Path(__file__).parents[1]
RESULT, PAGE = ROOT / "benchmarks" / "results" / "choices.json", ROOT / "docs" / "choices.md"
COMMAND = "KERAS_BACKEND=torch OMP_NUM_THREADS=1 python benchmarks/choices.py --mnist=mnist.npz"
KEYS = ("task", "option", "value", "seed")


@dataclasses.dataclass(frozen=True)
class Task:
    """A network on some images, and the budgets of its growth and pruning as shares of the dense network's parameters.

    Attributes:
        dataset: The data set.
        network: The network of the zoo.
        limit: How many images are taken, those held out among them; `None` for all.
        validation: The share that is held out.
        epochs: Epochs.
        batch_size: Images a step.
        every: Epochs between edits.
        seed_width: Width of the seed.
        capacity: Where growth ends.
        target: Where pruning ends.
    """

    dataset: str
    network: str
    limit: int | None
    validation: float
    epochs: int
    batch_size: int
    every: int
    seed_width: float
    capacity: float
    target: float


TASKS = {
    "digits": Task("digits", "digits_cnn", None, 0.25, 32, 32, 2, 0.25, 0.4, 0.12),
    "mnist": Task("mnist", "lenet5", 10_000, 0.4, 14, 64, 1, 0.1, 0.1, 0.019),
}
# What each option may be. The defaults are among them; their runs are shared by all options.
OPTIONS = {
    "both.normalize": ("mean", "max", "l2", "none"),
    "both.scope": ("global", "local", "isomorphic"),
    "both.per_cost": (False, True),
    "criterion": tuple(CRITERIA),
    "growth.rate": (0.25, 0.5, 1.0),
    "growth.new_units": ("split", "zero", "cgap"),
    "growth.noise": (0.0, 0.1, 0.5, 1.0),
    "pruning.steps": (1, 3, 5, 8),
    "pruning.schedule": ("exponential", "linear", "polynomial"),
    "pruning.round_to": (1, 8),
    "pruning.floor": (0.0, 0.25, 0.5),
}
# LeNet-5 has no batch normalisation.
_IMPOSSIBLE = {("mnist", "criterion", "bn_scale")}

_MNIST = flags.DEFINE_string("mnist", "mnist", "MNIST, as examples/train.py takes a data set.")
_TASKS = flags.DEFINE_list("tasks", list(TASKS), "Which tasks.")
_OPTIONS = flags.DEFINE_list("options", list(OPTIONS), "Which options.")
_SEEDS = flags.DEFINE_integer("seeds", 4, "How many seeds.", 1)


def main(argv):
    del argv
    stored = json.loads(RESULT.read_text()) if RESULT.exists() else {"runs": []}
    result = stored | {
        "command": COMMAND,
        "environment": {"python": platform.python_version(), "backend": keras.backend.backend()}
        | {name: importlib.metadata.version(name) for name in ("keras", keras.backend.backend())},
        "tasks": {name: dataclasses.asdict(task) for name, task in TASKS.items()},
    }
    done = {tuple(run[key] for key in KEYS) for run in result["runs"]}
    for key in wanted(_TASKS.value, _OPTIONS.value, range(_SEEDS.value)):
        if key not in done:
            done.add(key)
            result["runs"].append(dict(zip(KEYS, key, strict=True)) | train(*key))
            write_atomically(RESULT, json.dumps(result, indent=1) + "\n")
    write_atomically(PAGE, page(result))


def wanted(tasks, options, seeds):
    """The key of every run, first those of all defaults; an option's default is not run again."""
    for seed, task in itertools.product(seeds, tasks):
        yield task, "defaults", None, seed
    for option, seed, task in itertools.product(options, seeds, tasks):
        for value in OPTIONS[option]:
            if value != default(option) and (task, option, value) not in _IMPOSSIBLE:
                yield task, option, value, seed


def default(option):
    """The value that an option has where nothing is said."""
    holder, _, field = option.rpartition(".")
    if holder:
        return getattr(GrowthPolicy(1) if holder == "growth" else PruningPolicy(1), field)
    return "taylor"


def train(task, option, value, seed):
    """One run: accuracy on the images held out, and what the network has become."""
    task = TASKS[task]
    # The seed of the split stays, so that no test image of other experiments comes into this one.
    name = _MNIST.value if task.dataset == "mnist" else task.dataset
    data = datasets.load(name, limit=task.limit, validation=task.validation)
    keras.utils.set_random_seed(seed)
    shape = {"input_shape": data.input_shape, "num_classes": data.num_classes}
    build = cgap_keras.zoo.get(task.network)
    dense, model = cgap_keras.cost(build(**shape)).params, build(**shape, width=task.seed_width)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, task.epochs * math.ceil(len(data.x_train) / task.batch_size))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    callback = editor(task, dense, option, value, seed)
    start = time.perf_counter()
    options = {"batch_size": task.batch_size, "epochs": task.epochs, "verbose": 0}
    model.fit(data.x_train, data.y_train, callbacks=[callback], **options)
    return {
        "validation_accuracy": model.evaluate(data.x_val, data.y_val, verbose=0)[1],
        "params": cgap_keras.cost(model).params,
        "finished": callback.finished,
        "widths": callback.history[-1].widths,
        "seconds": time.perf_counter() - start,
    }


def editor(task, dense, option, value, seed):
    """CGaP with one option at another value."""
    settings = {"growth": {"capacity": round(task.capacity * dense)}, "pruning": {"target": round(task.target * dense)}}
    own = {"every": task.every, "seed": seed}
    holder, _, field = option.rpartition(".")
    for part in {"": [own], "both": settings.values()}.get(holder, [settings.get(holder)]):
        if option != "defaults":
            part[field] = value
    phases = (GrowthPolicy(**settings["growth"]), PruningPolicy(**settings["pruning"]))
    return cgap_keras.StructureCallback(phases, **own)


def page(result):
    """The tables as a document."""
    runs, remark = result["runs"], f" These runs were {result['remark']}." if "remark" in result else ""
    # A single seed says nothing.
    tried = {run["option"] for run in runs if run["seed"] > 0}
    tables = [f"## `{option}`\n\n{table(option, runs)}" for option in OPTIONS if option in tried]
    return PAGE_TEXT.format(command=COMMAND, remark=remark, ahead=ahead(runs), tables="\n\n".join(tables))


def table(option, runs):
    """A row for each value of an option."""
    tasks = list(TASKS)
    rows = [["value", *(f"{task}: accuracy, difference" for task in tasks)], ["---"] * (1 + len(tasks))]
    for value in OPTIONS[option]:
        label = f"`{value!r}`{' (default)' if value == default(option) else ''}"
        rows.append([label, *(cell(runs, task, option, value) for task in tasks)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cell(runs, task, option, value):
    """The mean, and the difference to the defaults with its error."""
    accuracies = by_seed(runs, task, option, value)
    if len(accuracies) < 2:
        return "-"
    mean = f"{statistics.mean(accuracies.values()):.2f} %"
    if value == default(option):
        return mean
    return "{}, {:+.2f} ± {:.2f}".format(mean, *difference(runs, task, option, value))


def ahead(runs):
    """The values that are ahead of their default on every task by more than twice the error."""
    tried = {(run["option"], run["value"]) for run in runs if run["seed"] > 0 and run["option"] != "defaults"}
    names = []
    for key in tried:
        found = [difference(runs, task, *key) for task in TASKS if len(by_seed(runs, task, *key)) > 1]
        if found and all(mean > 2 * error for mean, error in found):
            names.append("`{}={!r}`".format(*key))
    return ", ".join(sorted(names)) or "no value"


def difference(runs, task, option, value):
    """The difference to the defaults, seed by seed: mean and standard error."""
    accuracies, defaults = by_seed(runs, task, option, value), by_seed(runs, task, option, default(option))
    differences = [accuracies[seed] - defaults[seed] for seed in accuracies if seed in defaults]
    # Rounded, and not -0.0.
    return round(statistics.mean(differences), 4) + 0.0, statistics.stdev(differences) / math.sqrt(len(differences))


def by_seed(runs, task, option, value):
    """`{seed: accuracy in percent}` of the runs with a value of an option."""
    key = (task, "defaults", None) if value == default(option) else (task, option, value)
    chosen = [run for run in runs if (run["task"], run["option"], run["value"]) == key]
    return {run["seed"]: 100 * run["validation_accuracy"] for run in chosen}


PAGE_TEXT = """# What the defaults rest on

One option of CGaP varied at a time, everything else at its default, to the same budgets; accuracies on images held out
of the training data, means over seeds. Behind each the difference to the defaults, seed by seed, with its standard
error: what is smaller than twice that says nothing.{remark}
Ahead of its default by more than that on every task is {ahead}. Tasks, seeds, widths and single runs are in
`benchmarks/results/choices.json`; made by

    {command}

{tables}
"""


if __name__ == "__main__":
    app.run(main)
