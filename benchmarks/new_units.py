"""How fast a network learns once it has grown: ways to make new units, beside the same widths from the start.

    KERAS_BACKEND=torch OMP_NUM_THREADS=1 python -m benchmarks.new_units --dataset=CIFAR10.npz

A ResNet-20 of 0.3 of the width trains for some steps; then every unit gets a sibling, in one edit; then it trains on.
What counts is the training accuracy after that, which differs far less by chance than that of whole short trainings.
Beside it stand a network of the final widths that begins where the edit comes, one that was there from the start, and
one that never grows. Rates are those of a run of 8 epochs. Writes `benchmarks/results/new_units.json`.
"""

import json
import pathlib
import platform
import sys

import keras
from absl import app, flags

import cgap_keras
from cgap_keras.policy import GrowthPolicy
from cgap_keras.report.files import write_atomically

ROOT = pathlib.Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "new_units.json"
sys.path.insert(0, str(ROOT / "examples"))

SEED_WIDTH, WINDOW = 0.3, 50
WAYS = {
    "from the start": None,
    "begun at the edit": None,
    "never grown": None,
    "split, noise 0": {"new_units": "split", "noise": 0.0},
    "split, noise 0.5": {"new_units": "split", "noise": 0.5},
    "split, noise 1": {"new_units": "split", "noise": 1.0},
    "zero, noise 0.5": {"new_units": "zero", "noise": 0.5},
    "zero, noise 2": {"new_units": "zero", "noise": 2.0},
    "cgap, noise 0.5": {"new_units": "cgap", "noise": 0.5},
}

_DATASET = flags.DEFINE_string("dataset", None, "The packed data set.", required=True)
_EDIT = flags.DEFINE_integer("edit", 200, "Steps before the edit.", 1)
_STEPS = flags.DEFINE_integer("steps", 600, "Steps in all.", 2)
_SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds.")


def main(argv):
    del argv
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {"rows": []}
    result |= {
        "command": "KERAS_BACKEND=torch OMP_NUM_THREADS=1 python -m benchmarks.new_units --dataset=CIFAR10.npz",
        "environment": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
        },
        "setting": f"ResNet-20, {SEED_WIDTH} of the width, twice as wide by the edit; training accuracy of every "
        f"{WINDOW} steps of 128 images",
    }
    done = {(row["way"], row["edit"], row["steps"], row["seed"]) for row in result["rows"]}
    for seed in map(int, _SEEDS.value):
        for way in WAYS:
            key = way, _EDIT.value, _STEPS.value, seed
            if key not in done:
                row = dict(zip(("way", "edit", "steps", "seed"), key, strict=True))
                result["rows"].append(row | {"accuracy": train(*key)})
                print(result["rows"][-1], flush=True)
                write_atomically(RESULT, json.dumps(result, indent=1) + "\n")


def train(way, edit, steps, seed):
    """The training accuracy of each window of steps, the first behind the edit first."""
    import experiment
    import recipes

    task = {
        "model": "resnet20",
        "dataset": "cifar10",
        "method": "dense",
        "seed": seed,
        "epochs": 8,
        "weight_decay": 5e-4,
    }
    asked = dict.fromkeys(("optimizer", "learning_rate", "batch_size", "augmentation", "limit", "structure"))
    settings = recipes.complete({**asked, **task, "weight_decay": 5e-4, "test": False})
    run = experiment.prepare(settings | {"dataset": _DATASET.value}, None)
    narrow = cgap_keras.zoo.resnet20(width=SEED_WIDTH)
    groups = [group for group in cgap_keras.find_groups(narrow) if not group.frozen]
    # A clone has the widths, and weights of its own.
    wide = keras.models.clone_model(
        cgap_keras.rebuild(narrow, {group.name: [*range(group.size)] * 2 for group in groups})
    )
    network = wide if way in ("from the start", "begun at the edit") else narrow
    model = experiment.trainer(network, run.batches.images, settings)
    experiment.compile_for(model, settings, run.steps)
    windows = Windows()
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=run.batches.begin_epoch), windows]
    if WAYS[way]:
        growth = GrowthPolicy(cgap_keras.cost(wide).params, rate=1.0, **WAYS[way])
        callbacks.append(cgap_keras.StructureCallback([growth], every=cgap_keras.Steps(edit), seed=seed))
    begin = edit if way == "begun at the edit" else 0
    model.optimizer.iterations.assign(begin)
    windows.last = steps - begin
    model.fit(run.batches, epochs=steps, shuffle=False, callbacks=callbacks, verbose=0)
    return windows.accuracy[-(steps - edit) // WINDOW :]


class Windows(keras.callbacks.Callback):
    """The training accuracy of each window of steps.

    Attributes:
        last: After how many steps training ends.
        accuracy: A list.
    """

    def __init__(self):
        super().__init__()
        self.last, self.accuracy = None, []
        self._step, self._right, self._before = 0, 0.0, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._before = 0.0

    def on_train_batch_end(self, batch, logs=None):
        # Keras tells the mean since the epoch began.
        so_far = (batch + 1) * logs["accuracy"]
        self._right, self._before = self._right + so_far - self._before, so_far
        self._step += 1
        if self._step % WINDOW == 0:
            self.accuracy.append(self._right / WINDOW)
            self._right = 0.0
        self.model.stop_training = self.model.stop_training or self._step == self.last


if __name__ == "__main__":
    app.run(main)
