"""How much noise a new unit should start with: validation accuracy of CGaP on the digits, over noise and seeds.

    python benchmarks/new_unit_noise.py

Writes `benchmarks/results/new_unit_noise.json`. The test split is not looked at.
"""

import json
import math
import pathlib
import platform
import statistics

import keras

import cgap_keras
from cgap_keras.callbacks.structure import StructureCallback
from cgap_keras.policy import GrowthPolicy, PruningPolicy
from cgap_keras.report.files import write_atomically
from examples import datasets

NOISES = (0.0, 0.1, 0.5, 1.0)
SEEDS = range(4)
EPOCHS, BATCH, RATE = 32, 32, 2e-3


def main():
    accuracies = {str(noise): [train(noise, seed) for seed in SEEDS] for noise in NOISES}
    result = {
        "command": "python benchmarks/new_unit_noise.py",
        "environment": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
        },
        "setting": f"digits_cnn from width 0.25, {EPOCHS} epochs, Adam {RATE} with cosine decay, a quarter of the "
        "training data held out",
        "validation_accuracy": accuracies,
        "mean": {noise: statistics.mean(values) for noise, values in accuracies.items()},
    }
    path = pathlib.Path(__file__).parent / "results" / "new_unit_noise.json"
    write_atomically(path, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["mean"]))


def train(noise, seed):
    """Validation accuracy of one run."""
    # The seed of the split stays, so that no test image of the other experiments comes into this one.
    data = datasets.load("digits", validation=0.25)
    keras.utils.set_random_seed(seed)
    dense = cgap_keras.cost(cgap_keras.zoo.digits_cnn()).params
    model = cgap_keras.zoo.digits_cnn(width=cgap_keras.zoo.SEED_WIDTH)
    steps = EPOCHS * math.ceil(len(data.x_train) / BATCH)
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    phases = (GrowthPolicy(round(0.4 * dense), noise=noise), PruningPolicy(round(0.195 * dense), steps=4, round_to=1))
    callback = StructureCallback(phases, every=2, seed=seed)
    model.fit(data.x_train, data.y_train, batch_size=BATCH, epochs=EPOCHS, callbacks=[callback], verbose=0)
    return model.evaluate(data.x_val, data.y_val, verbose=0)[1]


if __name__ == "__main__":
    main()
