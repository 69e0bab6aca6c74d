"""A training that is killed at a chosen point, for `test_kill.py`.

Importing this module must not start TensorFlow, only load it: processes are forked from one that has it loaded.
"""

import hashlib
import itertools
import os
import signal
import zipfile

import keras
import numpy as np
from keras import layers

import cgap_keras
from cgap_keras.surgery import live

# What a process is killed in the middle of: the function before whose call it dies.
POINTS = {
    "step": (keras.callbacks.CallbackList, "on_train_batch_end"),
    "edit": (live, "resize_variable"),
    "write": (zipfile.ZipFile, "writestr"),
    "sync": (os, "fsync"),
    "replace": (os, "replace"),
    "remove": (os, "remove"),
}


def network():
    """A small convolutional network, with a layer that draws random numbers."""
    image = keras.Input((4, 4, 2), name="image")
    x = layers.Conv2D(3, 3, padding="same", name="conv")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.Dropout(0.2, name="dropout")(layers.GlobalAveragePooling2D()(x))
    x = layers.Dense(4, activation="relu", name="hidden")(x)
    return keras.Model(image, layers.Dense(2, name="out")(x))


def train(directory=None, run_eagerly=True, epochs=6, callbacks=()):
    """The training, as a script would do it from its first line.

    Args:
        directory: Where backups go; `None` for none.
        run_eagerly: Whether to run without a traced function.
        epochs: How many epochs.
        callbacks: More callbacks, for the first places.

    Returns:
        A dictionary of plain values: structure, weights and optimizer state as a checksum, and history.
    """
    keras.utils.set_random_seed(7)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4, 4, 2)).astype("float32")
    y = np.stack([x[..., 0].mean(axis=(1, 2)), np.abs(x[..., 1]).mean(axis=(1, 2))], axis=1)
    model, cgap = network(), cgap_keras.CGaP(300, 150, growth_rate=1.0, prune_steps=2, seed=0)
    model.compile("adam", loss="mse", metrics=["mae"], run_eagerly=run_eagerly)
    backup = [cgap_keras.BackupAndRestore(directory, save_freq=2)] if directory else []
    history = model.fit(
        x,
        y,
        batch_size=8,
        epochs=epochs,
        verbose=0,
        validation_data=(x[:8], y[:8]),
        callbacks=[*callbacks, *backup, cgap],
    )
    state = b"".join(
        keras.ops.convert_to_numpy(v.value).tobytes() for v in [*model.variables, *model.optimizer.variables]
    )
    return {
        "widths": cgap.history[-1].widths,
        "variables": [tuple(variable.shape) for variable in model.variables],
        "state": hashlib.sha256(state).hexdigest(),
        "edits": [edit.to_dict() | {"seconds": 0} for edit in cgap.history],
        "history": history.history,
    }


def train_until(connection, directory, point=None, count=0):
    """Trains, dies before the `count`-th call at a point, or sends what came out."""
    if point:
        _kill_at(*POINTS[point], count)
    connection.send(train(directory))
    connection.close()


def _kill_at(owner, name, count):
    function, calls = getattr(owner, name), itertools.count(1)

    def call(*args, **kwargs):
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    setattr(owner, name, call)
