"""One run of an experiment: a network, made and trained by a method."""

import dataclasses
import functools
import time
from importlib.util import find_spec

import datasets
import fused_kernels
import keras
import numpy as np
from augmentation import AUGMENTATIONS
from batches import ShuffledBatches
from methods import METHODS, Task

import cgap_keras

_EVALUATION_BATCH = 500
_WARM_UP = 0.05
_MOMENTUM = 0.9


@dataclasses.dataclass(frozen=True)
class Run:
    """A training that is ready to begin, or to go on.

    Attributes:
        settings: What the figures depend on, `{name: value}`; see the flags of `train.py`.
        data: The `Dataset`.
        batches: What is trained on.
        held_out: Images and labels for the figure that is reported.
        network: The network.
        model: What is trained: the network behind the augmentation.
        editor: The callback that edits the network, or `None`.
        macs: Multiply-accumulates of the network at the start.
    """

    settings: dict
    data: datasets.Dataset
    batches: ShuffledBatches
    held_out: tuple
    network: keras.Model
    model: keras.Model
    editor: keras.callbacks.Callback | None
    macs: int

    @property
    def steps(self):
        """Training steps of the whole run."""
        return self.settings["epochs"] * self.batches.num_batches


def prepare(settings, data_dir):
    """Reads the data and makes the network; whatever is wrong with the settings is told here, by a `ValueError`.

    Args:
        settings: See `Run`.
        data_dir: The folder of prepared TFDS sets, or `None`.

    Returns:
        A `Run`.
    """
    if settings["fused"]:
        fused_kernels.install()
    if settings["dtype_policy"] is not None:
        keras.config.set_dtype_policy(settings["dtype_policy"])
    data = datasets.read(settings["dataset"], data_dir, settings["limit"])
    train, held_out = split(data, settings["test"])
    keras.utils.set_random_seed(settings["seed"])
    batches = ShuffledBatches(*train, settings["batch_size"], settings["seed"])
    build = functools.partial(
        cgap_keras.zoo.get(settings["model"]), input_shape=data.input_shape, num_classes=data.num_classes
    )
    steps = settings["epochs"] * batches.num_batches
    network, editor = METHODS[settings["method"]](Task(settings, build, steps))
    model = trainer(network, batches.images, settings)
    compile_for(model, settings, steps)
    return Run(settings, data, batches, held_out, network, model, editor, cgap_keras.cost(network).macs)


def split(data, test):
    """The images to train on and those for the figure, each with their labels."""
    if not test:
        return (data.x_train, data.y_train), (data.x_val, data.y_val)
    images, labels = (np.concatenate(pair) for pair in ((data.x_train, data.x_val), (data.y_train, data.y_val)))
    return (images, labels), (data.x_test, data.y_test)


def trainer(network, images, settings):
    """The model to train: the network behind what makes its inputs of images as they are stored."""
    mean, deviation = datasets.channel_statistics(images)
    return keras.Sequential(
        [
            keras.Input(images.shape[1:], dtype=images.dtype.name),
            *AUGMENTATIONS[settings["augmentation"]](settings["seed"]),
            keras.layers.Normalization(mean=mean, variance=deviation**2),
            network,
        ]
    )


def compile_for(model, settings, steps):
    """Compiles a model: the rate rises to its peak over the first steps, then falls to zero along half a cosine."""
    warm_up = int(_WARM_UP * steps)
    peak = settings["learning_rate"]
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if warm_up else peak, steps - warm_up, warmup_target=peak if warm_up else None, warmup_steps=warm_up
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = sgd(rate, settings["weight_decay"]) if settings["optimizer"] == "sgd" else keras.optimizers.Adam(rate)
    model.compile(optimizer, loss, metrics=["accuracy"])


def sgd(rate, decay):
    """SGD with Nesterov momentum and weight decay, as the literature trains residual networks."""
    # Published decays are added to the gradient, where momentum multiplies their effect by 1 / (1 - momentum). Keras
    # takes them off the weights directly, which keeps them out of the gradients that saliency is made from.
    optimizer = keras.optimizers.SGD(rate, momentum=_MOMENTUM, nesterov=True, weight_decay=decay / (1 - _MOMENTUM))
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def fit(run, out, backup_every, verbose):
    """Trains, from the backup if there is one.

    Args:
        run: A `Run`.
        out: The folder of the run, for the backup and for TensorBoard.
        backup_every: Steps between backups within an epoch.
        verbose: What training prints, as `keras.Model.fit` takes it.

    Returns:
        The history, and the seconds that it took.
    """
    stopwatch = Stopwatch()
    callbacks = [
        stopwatch,
        keras.callbacks.LambdaCallback(on_epoch_begin=run.batches.begin_epoch),
        *([run.editor] if run.editor else []),
        *tensorboard(out),
        # It stays until the row is written, so that a kill in between costs no training.
        cgap_keras.BackupAndRestore(out / "backup", save_freq=backup_every, delete_checkpoint=False),
    ]
    history = run.model.fit(
        run.batches,
        shuffle=False,  # Or Keras would take the batches in an order of its own.
        epochs=run.settings["epochs"],
        # Nothing may be chosen by the test images, so nobody looks at them before the end.
        validation_data=None if run.settings["test"] else run.held_out,
        validation_batch_size=_EVALUATION_BATCH,
        callbacks=callbacks,
        verbose=verbose,
    )
    return history.history, stopwatch.seconds


class Stopwatch(keras.callbacks.Callback):
    """The seconds that training has taken, over restarts; what is trained a second time counts once.

    Attributes:
        seconds: So far.
    """

    def __init__(self):
        super().__init__()
        self._before, self._start = 0.0, time.perf_counter()

    @property
    def seconds(self):
        return self._before + time.perf_counter() - self._start

    def get_state(self):
        return self.seconds

    def set_state(self, state):
        self._before = state


def tensorboard(out):
    """A callback that writes curves for TensorBoard, in a list; an empty one where it is not installed."""
    if find_spec("tensorflow") is None or find_spec("tensorboard") is None:
        return []
    return [keras.callbacks.TensorBoard(out / "tensorboard", write_graph=False)]
