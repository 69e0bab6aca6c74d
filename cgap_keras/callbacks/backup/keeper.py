"""What saves a training and takes it up: the part of `BackupAndRestore` that is called behind all other callbacks."""

import sys

import keras

from cgap_keras.callbacks.backup.callback_states import CallbackStates
from cgap_keras.callbacks.backup.model_state import (
    describe_variables,
    describe_widths,
    get_values,
    resize,
    set_values,
    state_variables,
)
from cgap_keras.callbacks.backup.plain import fingerprint
from cgap_keras.callbacks.backup.random_state import get_random_state, set_random_state
from cgap_keras.callbacks.backup.skipping import skip_next_step
from cgap_keras.callbacks.structure import StructureCallback
from cgap_keras.distribution import agree, is_first_process
from cgap_keras.surgery.live import pull_state


class Keeper(keras.callbacks.Callback):
    """Saves and takes up what a training consists of.

    It is called behind all other callbacks, so that it saves what they have made of an epoch or a batch, and sets their
    state when they have reset themselves. In the middle of an epoch that is twice: when training begins, and when the
    batches that were trained on are passed over. So it does not matter what `on_epoch_begin` did once more.

    Args:
        file: The `BackupFile`.
        save_freq: `"epoch"`, or after how many batches to save as well.
        delete: Whether to remove the backup when training has ended.
        callbacks: The `keras.callbacks.CallbackList` of the training.
    """

    def __init__(self, file, save_freq, delete, callbacks):
        super().__init__()
        self._file, self._save_freq, self._delete, self._list = file, save_freq, delete, callbacks
        self._all, self._editors, self._settings, self._states = callbacks.callbacks, [], {}, None
        self._structure = self._structure_at_begin = None
        self._epoch, self._batches, self._random_at_epoch = 0, 0, None
        self._backup = None

    def on_train_begin(self, logs=None):
        model = self.model
        if not all(layer.built for layer in model._flatten_layers()):
            raise ValueError(
                "BackupAndRestore needs a model that is built: give it an input shape, or call it on a batch. "
                f"Received: model={model.name!r}, not built"
            )
        if model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self._states = CallbackStates([callback for callback in self._all if callback is not self])
        self._editors = [callback for callback in self._all if isinstance(callback, StructureCallback)]
        self._settings = {type(x).__name__: x.settings for x in self._editors}
        self._structure_at_begin = self._describe()
        if is_first_process():
            self._file.remove_parts()
        backup = agree(self._file.read() if is_first_process() else None)
        if backup is None:
            # Here an unwritable directory is told, and the first epoch can be repeated with the same first weights.
            self._save(0)
        else:
            self._take_up(backup)

    def on_epoch_begin(self, epoch, logs=None):
        self.model._initial_epoch = None
        self._epoch, self._batches = epoch, 0
        if self._backup is not None:
            set_random_state(self._backup["random_at_epoch"])
            # Nobody else is to hear of batches that he has seen.
            self._list.callbacks = [self]
        self._random_at_epoch = get_random_state()

    def on_train_batch_begin(self, batch, logs=None):
        if self._backup is not None:
            skip_next_step(self.model, self._backup["logs"])

    def on_train_batch_end(self, batch, logs=None):
        before, self._batches = self._batches, batch + 1
        if self._backup is not None:
            self._pass_over()
        elif self._save_freq != "epoch" and self._batches // self._save_freq > before // self._save_freq:
            self._save(self._epoch, self._batches, logs)

    def on_epoch_end(self, epoch, logs=None):
        if self._backup is not None:
            raise ValueError(
                f"The backup was made after {self._backup['batches']} batches of an epoch, and the data has fewer. "
                f"Received: {self._batches} batches"
            )
        self._save(epoch + 1)

    def on_train_end(self, logs=None):
        self.model._initial_epoch = None
        if is_first_process():
            self._file.remove() if self._delete else self._file.remove_parts()

    def _save(self, epoch, batches=0, logs=None):
        """Saves the state between the calls of two methods."""
        model = self.model
        pull_state(model)
        if not is_first_process():
            return
        self._structure = self._describe()
        self._file.write(
            {
                "settings": self._settings,
                "structure_at_begin": self._structure_at_begin,
                "structure": self._structure,
                "values": get_values(self._variables().values()),
                "metrics": get_values(model.metrics_variables) if batches else [],
                "callbacks": self._states.get(),
                "epoch": epoch,
                "batches": batches,
                "logs": {name: x for name, x in (logs or {}).items() if fingerprint(x) is not None},
                "stop_training": bool(getattr(model, "stop_training", False)),
                "random": get_random_state(),
                "random_at_epoch": self._random_at_epoch,
            }
        )

    def _take_up(self, backup):
        """Goes on from a backup, when training begins."""
        self._check(backup)
        self._structure_at_begin = backup["structure_at_begin"]
        self._set_state(backup)
        self.model._initial_epoch = backup["epoch"]
        if backup["batches"]:
            self._backup = backup
        elif backup["stop_training"]:
            self.model._initial_epoch = sys.maxsize

    def _pass_over(self):
        """Goes on in the middle of an epoch, once the batches before are passed over."""
        backup = self._backup
        if self._batches < backup["batches"]:
            return
        if self._batches > backup["batches"]:
            raise ValueError(
                f"The backup was made after {backup['batches']} batches of an epoch, which is not between two calls of "
                f"the training function. Received: steps_per_execution={self.model.steps_per_execution}"
            )
        self._set_state(backup)
        set_values(self.model.metrics_variables, backup["metrics"])
        self._backup, self._list.callbacks = None, self._all

    def _set_state(self, backup):
        """Sets all but the metrics, which an epoch resets when it begins."""
        model = self.model
        pull_state(model)
        if describe_variables(self._variables()) != backup["structure"]["variables"]:
            resize(model, backup["structure"]["widths"])
            self._check_structure(backup["structure"]["variables"])
        self._states.set(backup["callbacks"])
        set_values(self._variables().values(), backup["values"])
        set_random_state(backup["random"])
        model.stop_training = backup["stop_training"]

    def _check(self, backup):
        """Raises a `ValueError` unless the training that begins is the one that was saved."""
        if self._settings != backup["settings"]:
            raise ValueError(
                "The backup is of a training with other settings. Use these again, or remove "
                f"{self._file.path!r} to begin anew: {backup['settings']}. Received: {self._settings}"
            )
        expected, found = backup["structure_at_begin"]["variables"], describe_variables(self._variables())
        if found not in (expected, backup["structure"]["variables"]):
            raise ValueError(
                "The backup is of another model, or of another optimizer. Make the model anew as it was when the "
                f"training began, or remove {self._file.path!r} to begin anew. {_first_difference(expected, found)}"
            )

    def _check_structure(self, expected):
        """Raises a `ValueError` unless the widths of the backup have led to its structure."""
        found = describe_variables(self._variables())
        if found != expected:
            raise ValueError(
                "The model does not come to the structure of the backup by the widths of its groups: they were others "
                f"when it was written. Remove {self._file.path!r} to begin anew. {_first_difference(expected, found)}"
            )

    def _variables(self):
        carried = [variable for callback in self._editors for variable in callback.carried_variables]
        return state_variables(self.model, left_out=carried)

    def _describe(self):
        """Structure as a plain value. Groups are looked for where a shape has changed alone."""
        variables = describe_variables(self._variables())
        if self._structure is None or variables != self._structure["variables"]:
            return {"variables": variables, "widths": describe_widths(self.model)}
        return self._structure


def _first_difference(expected, found):
    name = next(name for name in {**expected, **found} if expected.get(name) != found.get(name))
    return f"Expected: variable {name!r} {_shape(expected, name)}. Received: {_shape(found, name)}"


def _shape(variables, name):
    return "of shape {} and type {}".format(*variables[name]) if name in variables else "missing"
