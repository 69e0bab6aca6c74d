"""When the next edit is due.

A trigger is made once and holds no state. What it has seen since the last edit is a plain value that the callback
keeps, so that a backup can hold it and every training begins anew.
"""

import copy
import dataclasses

import keras
from keras.src.callbacks.monitor_callback import MonitorCallback

from cgap_keras.distribution import agree


class Trigger:
    """When an edit is due.

    Attributes:
        in_epoch: Whether it may be in the middle of an epoch, before any batch. If not, it is before an epoch.
    """

    in_epoch = False

    def begin(self):
        """What is known right after an edit: a plain value."""
        return 0

    def start(self):
        """What is known when training begins."""
        return self.begin()

    def has_started(self, seen):
        """Whether it is time to look at units, for edits to come."""
        return True

    def after_edit_of_another(self, seen):
        """What is known when somebody else has edited the model."""
        return seen

    def after_batches(self, seen, batches):
        """What is known when some more batches have been trained on."""
        return seen

    def after_epoch(self, seen, model, logs):
        """What is known when an epoch has ended."""
        return seen

    def is_due(self, seen):
        """Whether it is time for an edit."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Epochs(Trigger):
    """An edit after every few epochs.

    Args:
        epochs: How many epochs lie between edits.
    """

    epochs: int

    def __post_init__(self):
        if self.epochs < 1:
            raise ValueError(f"`every` must be at least 1 epoch. Received: every={self.epochs}")

    def after_epoch(self, seen, model, logs):
        return seen + 1

    def is_due(self, seen):
        return seen >= self.epochs


@dataclasses.dataclass(frozen=True)
class Steps(Trigger):
    """An edit after every few batches, in the middle of an epoch too: for long epochs.

    The edit comes before the next batch; with `steps_per_execution`, between two executions. The training step is
    traced anew after each edit, which takes some seconds for a deep network on TensorFlow and JAX.

    Args:
        batches: How many batches of training lie between edits.
        wait: How many batches come before the first of these: the first edit follows after `wait + batches`, and the
            saliency that gradients tell is gathered from `wait` on. Defaults to 0.

    Raises:
        ValueError: If `batches` is less than one, or `wait` is negative.

    Example:

    ```python
    cgap = cgap_keras.CGaP(capacity=60_000, target=20_000, every=cgap_keras.Steps(500))
    pruning = cgap_keras.Pruning(target=20_000, every=cgap_keras.Steps(500, wait=10_000))  # trained dense before
    ```
    """

    batches: int
    wait: int = 0
    in_epoch = True

    def __post_init__(self):
        if self.batches < 1:
            raise ValueError(f"`batches` must be at least 1. Received: batches={self.batches}")
        if self.wait < 0:
            raise ValueError(f"`wait` must not be negative. Received: wait={self.wait}")

    def start(self):
        return -self.wait

    def has_started(self, seen):
        return seen >= 0

    def after_batches(self, seen, batches):
        return seen + batches

    def is_due(self, seen):
        return seen >= self.batches


@dataclasses.dataclass(frozen=True)
class Plateau(Trigger):
    """An edit when training no longer gets better: before the epoch that follows the plateau.

    After each edit, somebody else's too, it begins anew, since what one structure has reached says nothing of the next.

    Args:
        monitor: What is watched, a key of the logs that callbacks get at the end of an epoch. Defaults to `"val_loss"`.
        patience: After how many epochs in a row without a better value the edit comes. Defaults to 2.
        min_delta: By how much a value has to differ from the best so far to be better. Defaults to 0.
        mode: Whether less is better (`"min"`), more is (`"max"`), or what Keras knows of the metric decides (`"auto"`).

    Raises:
        ValueError: If an argument is out of its range; and at the end of the first epoch if its logs do not have
            `monitor`, or if Keras does not know the direction of the metric.

    Example:

    ```python
    pruning = cgap_keras.Pruning(target=20_000, every=cgap_keras.Plateau("val_accuracy", patience=3))
    model.fit(x, y, epochs=60, validation_data=(x_val, y_val), callbacks=[pruning])
    ```
    """

    monitor: str = "val_loss"
    patience: int = 2
    min_delta: float = 0.0
    mode: str = "auto"

    def __post_init__(self):
        if self.patience < 1:
            raise ValueError(f"`patience` must be at least 1 epoch. Received: patience={self.patience}")
        if self.min_delta < 0:
            raise ValueError(f"`min_delta` must not be negative. Received: min_delta={self.min_delta}")
        if self.mode not in ("auto", "min", "max"):
            raise ValueError(f"`mode` must be one of auto, min, max. Received: mode={self.mode!r}")

    def begin(self):
        return {"best": None, "wait": 0}

    def after_edit_of_another(self, seen):
        return self.begin()

    def after_epoch(self, seen, model, logs):
        if self.monitor not in logs:
            raise ValueError(
                "`monitor` must be a key of the logs at the end of every epoch; with validation data they have those "
                f"with val_ too, unless `validation_freq` leaves epochs out. They have {', '.join(sorted(logs))}. "
                f"Received: monitor={self.monitor!r}"
            )
        value, best = agree(float(logs[self.monitor])), seen["best"]
        if best is None or self._sign(model) * (best - value) > self.min_delta:
            return {"best": value, "wait": 0}
        return {"best": best, "wait": seen["wait"] + 1}

    def is_due(self, seen):
        return seen["wait"] >= self.patience

    def _sign(self, model):
        """1 if less is better, -1 if more is; what Keras's own callbacks find."""
        own = MonitorCallback(self.monitor, self.mode)
        own.set_model(model)
        own._set_monitor_op()
        return 1 if own.monitor_op is keras.ops.less else -1


def as_trigger(every):
    """A trigger, or a number of epochs as one."""
    if isinstance(every, Trigger):
        return every
    if isinstance(every, bool) or not hasattr(every, "__index__"):
        raise ValueError(
            f"`every` must be a number of epochs, `cgap_keras.Steps` or `cgap_keras.Plateau`. Received: every={every!r}"
        )
    return Epochs(int(every))


def as_triggers(every, phases):
    """One trigger for all phases, in a tuple, or as many as there are phases."""
    if not isinstance(every, (list, tuple)):
        return (as_trigger(every),)
    if len(every) != phases:
        raise ValueError(
            f"`every` must be one for all phases, or as many as there are phases, {phases}. Received: every={every!r}"
        )
    # Copies, so that each is known from the others.
    return tuple(copy.copy(as_trigger(one)) for one in every)
