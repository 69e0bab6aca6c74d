"""What new statistics gain after a pruning: validation accuracy on the digits, without and with training behind it.

    python benchmarks/reestimation.py

A dense network is trained, pruned at once to half and to a quarter of its parameters, and looked at before and after
`reestimate_statistics`; then both are trained on. Beside them stands `Pruning` with the same budget and criterion,
which prunes when a first epoch at the low rate is over. Writes `benchmarks/results/reestimation.json`. The test split
is not looked at.
"""

import json
import math
import os
import pathlib
import platform
import statistics

import keras

import cgap_keras
from cgap_keras.report.files import write_atomically
from cgap_keras.saliency import score_weights
from examples import datasets

SEEDS, SHARES = range(3), (0.5, 0.25)
EPOCHS, BATCH, RATE = 20, 32, 2e-3
# Of fine-tuning, at a constant rate as low as the cosine's last quarter on average.
MORE_EPOCHS, LOW_RATE = 5, 1e-4


def main():
    # The seed of the split stays, so that no test image of the other experiments comes into this one.
    data = datasets.load("digits", validation=0.25)
    runs = [run(data, seed) for seed in SEEDS]
    result = {
        "command": "python benchmarks/reestimation.py",
        "environment": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""),
        },
        "setting": f"digits_cnn, {EPOCHS} epochs of {math.ceil(len(data.x_train) / BATCH)} steps, Adam {RATE} with "
        f"cosine decay; units pruned by l1 at once; then {MORE_EPOCHS} epochs with Adam {LOW_RATE}; a quarter of the "
        f"training data ({len(data.x_val)} images) held out",
        "validation_accuracy": runs,
        "mean": mean(runs),
    }
    path = pathlib.Path(__file__).parent / "results" / "reestimation.json"
    write_atomically(path, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["mean"], indent=1))


def run(data, seed):
    """The figures of one seed."""
    keras.utils.set_random_seed(seed)
    dense = cgap_keras.zoo.digits_cnn()
    steps = EPOCHS * math.ceil(len(data.x_train) / BATCH)
    fit(dense, data, keras.optimizers.schedules.CosineDecay(RATE, steps), EPOCHS)
    same = cgap_keras.rebuild(dense, {})
    cgap_keras.reestimate_statistics(same, data.x_train, BATCH)
    figures = {"dense": accuracy(dense, data), "dense, re-estimated": accuracy(same, data)}
    for share in SHARES:
        plan = pruning_plan(dense, share)
        for how in ("as it was", "re-estimated"):
            model = cgap_keras.rebuild(dense, plan)
            if how == "re-estimated":
                cgap_keras.reestimate_statistics(model, data.x_train, BATCH)
            keras.utils.set_random_seed(seed)
            epochs = [accuracy(model, data), *fit(model, data, LOW_RATE, MORE_EPOCHS)]
            figures |= {f"pruned to {share}, {how}, after {i} epochs": x for i, x in enumerate(epochs)}
        model = cgap_keras.rebuild(dense, {})
        callback = cgap_keras.Pruning(share * cgap_keras.cost(dense).params, steps=1, criterion="l1")
        keras.utils.set_random_seed(seed)
        epochs = fit(model, data, LOW_RATE, 1 + MORE_EPOCHS, [callback])
        figures |= {f"pruned to {share}, by Pruning, after {i} epochs": x for i, x in enumerate(epochs) if i}
    return figures


def pruning_plan(model, share):
    """The plan that leaves a share of the parameters."""
    groups = [group for group in cgap_keras.find_groups(model) if not group.frozen]
    policy = cgap_keras.PruningPolicy(share * cgap_keras.cost(model).params, steps=1)
    scores = score_weights(model, groups, "l1")
    return policy.propose(groups, scores, policy.budget.cost_of(model, groups))[0]


def fit(model, data, rate, epochs, callbacks=()):
    """Trains, and returns the validation accuracy after each epoch."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    validation = (data.x_val, data.y_val)
    options = {"batch_size": BATCH, "validation_data": validation, "verbose": 0, "callbacks": list(callbacks)}
    return model.fit(data.x_train, data.y_train, epochs=epochs, **options).history["val_accuracy"]


def accuracy(model, data):
    """Validation accuracy."""
    return float((model.predict(data.x_val, verbose=0).argmax(-1) == data.y_val).mean())


def mean(runs):
    """The means of some runs, key by key."""
    return {key: statistics.mean(run[key] for run in runs) for key in runs[0]}


if __name__ == "__main__":
    main()
