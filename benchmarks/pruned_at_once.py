"""What each way to choose units costs a trained network: pruned at once, before and after a few steps of training.

    python examples/train.py --method=dense --model=resnet20 --dataset=CIFAR10.npz --augmentation=cifar --epochs=3 \\
        --out=runs/pruned_at_once
    python -m benchmarks.pruned_at_once --run=runs/pruned_at_once --dataset=CIFAR10.npz

The usual ablation by whole trainings scatters by about a point where they are short. Here every row starts from the
same weights, saliencies are of the same batches, and what is left is compared on the same held-out images. Statistics
of batch normalisations are taken anew from augmented images in every row. Writes
`benchmarks/results/pruned_at_once.json`.
"""

import json
import pathlib
import platform
import sys

import keras
import numpy as np
from absl import app, flags

import cgap_keras
from cgap_keras.callbacks.saliency_in_training import SaliencyInTraining, free_groups
from cgap_keras.policy import PruningPolicy
from cgap_keras.report.files import write_atomically

ROOT = pathlib.Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "pruned_at_once.json"
sys.path.insert(0, str(ROOT / "examples"))

CRITERIA = ("taylor", "taylor_activation", "fisher", "l2", "bn_scale", "random")
RANKINGS = {
    "local": {"scope": "local"},
    "global, mean": {},
    "global, none": {"normalize": "none"},
    "global, none, per cost": {"normalize": "none", "per_cost": True},
    "isomorphic": {"scope": "isomorphic"},
}
TARGET = 0.5
BATCH, SALIENCY_BATCHES, TUNING_STEPS, RATE, STATISTICS_IMAGES = 128, 60, 60, 0.02, 1280

_RUN = flags.DEFINE_string("run", None, "Folder of the dense network's run.", required=True)
_DATASET = flags.DEFINE_string("dataset", None, "The packed data set.", required=True)


def main(argv):
    del argv
    import experiment

    folder = pathlib.Path(_RUN.value)
    settings = json.loads((folder / "settings.json").read_text()) | {"dataset": _DATASET.value}
    lab = Lab(experiment.prepare(settings, None), keras.models.load_model(folder / "network.keras", compile=False))
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {"rows": []}
    result |= {
        "command": "python -m benchmarks.pruned_at_once --run=runs/pruned_at_once --dataset=CIFAR10.npz",
        "environment": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
        },
        "setting": f"ResNet-20 after {settings['epochs']} epochs; saliencies of {SALIENCY_BATCHES} batches of {BATCH}; "
        f"the target is a share of its MACs; tuning is {TUNING_STEPS} steps of SGD at {RATE}; accuracies on held-out "
        "training images",
        "dense": lab.measure(lab.model()),
    }
    done = {(row["criterion"], row["ranking"]) for row in result["rows"]}
    for criterion in CRITERIA:
        wanted = [name for name in RANKINGS if (criterion, name) not in done]
        scores = lab.scores(criterion) if wanted else None
        for name in wanted:
            row = {"criterion": criterion, "ranking": name, "target": TARGET}
            result["rows"].append(row | lab.prune(scores, RANKINGS[name]))
            print({key: value for key, value in result["rows"][-1].items() if key != "widths"}, flush=True)
            write_atomically(RESULT, json.dumps(result, indent=1) + "\n")


class Lab:
    """A trained network, and what is done to copies of it.

    Args:
        run: The `Run` that trained it.
        network: The network.
    """

    def __init__(self, run, network):
        self._settings, self._data, self._network = run.settings, run.data, network
        self._order = np.random.default_rng(0).permutation(len(run.data.x_train))

    def model(self, rate=0.0):
        """A copy of the network behind the augmentation, compiled with a constant rate."""
        import experiment

        keras.utils.set_random_seed(0)
        model = experiment.trainer(cgap_keras.rebuild(self._network, {}), self._data.x_train, self._settings)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(experiment.sgd(rate, self._settings["weight_decay"]), loss, metrics=["accuracy"])
        return model

    def scores(self, criterion):
        """Saliencies of the network as it is: the rate is zero."""
        model, saliency = self.model(), SaliencyInTraining(criterion)
        saliency.check(model, free_groups(model))
        saliency.listen(model)
        if saliency.criterion.needs == "gradients":
            self._fit(model, SALIENCY_BATCHES)
        scores = saliency.scores(model, free_groups(model), seed=0)
        saliency.stop()
        return scores

    def prune(self, scores, ranking):
        """What is left of the network when it is pruned to the target at once."""
        model = self.model(RATE)
        groups, budget = free_groups(model), cgap_keras.Budget(TARGET * cgap_keras.cost(model).macs, "macs")
        policy = PruningPolicy(budget, steps=1, round_to=1, floor=0.0, **ranking)
        plan, _ = policy.propose(groups, scores, budget.cost_of(model, groups))
        cgap_keras.apply(model, plan)
        found = {"at_once": self.measure(model)}
        self._fit(model, TUNING_STEPS)
        found["tuned"] = self.measure(model)
        cost = cgap_keras.cost(model)
        widths = {group.name: group.size for group in free_groups(model)}
        return {**found, "macs": cost.macs, "params": cost.params, "widths": widths}

    def measure(self, model):
        """Loss and accuracy on the held-out images, with statistics of augmented training images."""
        cgap_keras.reestimate_statistics(model.layers[-1], self._inputs(model), BATCH)
        loss, accuracy = model.evaluate(self._data.x_val, self._data.y_val, batch_size=500, verbose=0)
        return {"loss": loss, "accuracy": accuracy}

    def _inputs(self, model):
        """What reaches the network in training."""
        inputs = keras.ops.convert_to_tensor(self._data.x_train[self._order[:STATISTICS_IMAGES]])
        for layer in model.layers[:-1]:
            inputs = layer(inputs, training=True)
        return keras.ops.convert_to_numpy(inputs)

    def _fit(self, model, steps):
        chosen = self._order[: steps * BATCH]
        model.fit(self._data.x_train[chosen], self._data.y_train[chosen], BATCH, verbose=0, shuffle=False)


if __name__ == "__main__":
    app.run(main)
