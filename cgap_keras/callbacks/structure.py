"""What the callbacks share: phases that follow each other, each proposing edits from what training has shown."""

import sys
import time

import keras

from cgap_keras.callbacks.saliency_in_training import SaliencyInTraining, free_groups
from cgap_keras.callbacks.settings import describe
from cgap_keras.callbacks.siblings import check_siblings, find_siblings
from cgap_keras.callbacks.triggers import as_triggers
from cgap_keras.cost import cost
from cgap_keras.distribution import agree, check_cluster, check_distribution, is_first_process
from cgap_keras.report.history import Edit
from cgap_keras.statistics import in_training as statistics
from cgap_keras.structure.groups import find_groups
from cgap_keras.surgery.apply import apply
from cgap_keras.surgery.live import pull_state, push_state
from cgap_keras.surgery.slots import find_slots, fresh_state

# Beside the edits and the gathered saliency, all that changes in the course of a training.
_STATE = ("initial_widths", "_epoch", "_batches", "_phase", "_edits_in_phase", "_seen")


class StructureCallback(keras.callbacks.Callback):
    """Edits the structure of a model inside `fit`, phase by phase: the general form of `cgap_keras.CGaP`.

    Edits come before an epoch rather than after one, or before a batch, so that the validation and the checkpoints of
    an epoch see the structure that was trained in it. After a pruning, what batch normalisation knows of the time
    before is taken out of its statistics by then, see docs/method.md.

    Args:
        phases: The policies that propose edits, each until it has come to its end: `cgap_keras.GrowthPolicy`,
            `cgap_keras.PruningPolicy`, or what has the same methods.
        every: Epochs between edits, `cgap_keras.Steps` or `cgap_keras.Plateau`; or a tuple of these, one for each
            phase, which begins when its phase does. Defaults to 1.
        criterion: How a unit's saliency is measured: the name of a criterion, or a `cgap_keras.Criterion`. Defaults to
            `"taylor"`.
        seed: Integer seed of the noise that tells a new unit from its parent; `None` draws another at every run.

    Attributes:
        history: The edits so far, a list of `cgap_keras.report.Edit`.
        initial_widths: `{group name: units}` at the start of training.

    Raises:
        ValueError: If an argument is out of its range, or, when training begins, if the model has nothing to resize,
            its optimizer's state cannot be carried, or a phase's target is out of reach.

    Example:

    ```python
    phases = [
        cgap_keras.GrowthPolicy(60_000, scope="isomorphic"),
        cgap_keras.PruningPolicy(cgap_keras.Budget(1e6, "macs"), steps=8, schedule="polynomial", per_cost=True),
    ]
    model.fit(x, y, epochs=40, callbacks=[cgap_keras.StructureCallback(phases, seed=0)])
    ```
    """

    def __init__(self, phases, every=1, criterion="taylor", seed=None):
        super().__init__()
        check_cluster()
        self._phases, self._seed = tuple(phases), seed
        if not self._phases:
            raise ValueError(f"`phases` must hold at least one policy. Received: phases={phases!r}")
        self._triggers = as_triggers(every, len(self._phases))
        self._saliency = SaliencyInTraining(criterion)
        self._is_editing = False
        self._reset()

    @property
    def async_safe(self):
        """Whether Keras may tell of batches later, from another thread: unless they are counted."""
        return not any(trigger.in_epoch for trigger in self._triggers)

    @property
    def finished(self):
        """Whether every phase has come to its end."""
        return self._phase == len(self._phases)

    @property
    def settings(self):
        """What the callback was made with, as a plain value."""
        made_with = {
            "phases": self._phases,
            "every": self._triggers if len(self._triggers) > 1 else self._triggers[0],
            "criterion": self._saliency.criterion,
            "seed": self._seed,
        }
        return {name: describe(value) for name, value in made_with.items()}

    @property
    def carried_variables(self):
        """The variables that training carries for this callback, among the optimizer's."""
        return self._saliency.variables

    def get_state(self):
        """What the callback knows of the training so far, as a plain value; `set_state` sets it."""
        return {
            "history": [edit.to_dict() for edit in self.history],
            "carried": [keras.ops.convert_to_numpy(variable.value) for variable in self.carried_variables],
            "statistics": statistics.get_state(self.model),
            **{name: getattr(self, name) for name in _STATE},
        }

    def set_state(self, state):
        """Goes on from what `get_state` returned, on a model with the structure that it had then."""
        self.history, self._cost = [Edit.from_dict(edit) for edit in state["history"]], cost(self.model)
        for name in _STATE:
            setattr(self, name, state[name])
        statistics.set_state(self.model, state["statistics"])
        self._saliency.stop()
        self._listen_if_due()
        for variable, value in zip(self.carried_variables, state["carried"], strict=True):
            variable.assign(value)

    def on_train_begin(self, logs=None):
        self._check_siblings()
        self._reset()
        check_distribution(self.model)
        statistics.forget_all(self.model)
        groups = find_groups(self.model)
        if all(group.frozen for group in groups):
            reasons = "; ".join(f"{group.name}: {group.frozen}" for group in groups)
            raise ValueError(
                f"The model has no channel group that can be resized. {reasons} Received: model={self.model.name!r}"
            )
        self.initial_widths = {group.name: group.size for group in groups if not group.frozen}
        # What an edit needs has to fail here, not epochs later.
        self._cost = cost(self.model)
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        fresh_state(self.model.optimizer, find_slots(self.model.optimizer), edits={})
        groups = [group for group in groups if not group.frozen]
        for phase in self._phases:
            phase.check(groups, phase.budget.cost_of(self.model, groups))
        self._saliency.check(self.model, groups)
        self._listen_if_due()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if not self._trigger.in_epoch:
            self._edit_if_due()

    def on_train_batch_begin(self, batch, logs=None):
        # Not when an epoch begins: one that a backup takes up begins with batches that were trained on before.
        if self._trigger.in_epoch:
            self._edit_if_due()

    def on_train_batch_end(self, batch, logs=None):
        if self._trigger.in_epoch:
            before, self._batches = self._batches, batch + 1
            self._seen = self._trigger.after_batches(self._seen, self._batches - before)

    def on_test_begin(self, logs=None):
        statistics.settle(self.model)

    def on_epoch_end(self, epoch, logs=None):
        statistics.settle(self.model)
        self._epoch, self._batches = epoch + 1, 0
        self._seen = self._trigger.after_epoch(self._seen, self.model, logs or {})

    def on_train_end(self, logs=None):
        if self._saliency.stop():
            push_state(self.model)
        if not self.finished:
            phase = self._phases[self._phase].kind
            self._say(
                f"training ended before the network was done: still to {phase}. Train for more epochs, or edit "
                "more often."
            )

    def follow_edit(self, report, transaction):
        """Enters an edit that somebody else has made in the middle of this training."""
        if not self._is_editing:
            transaction.keep(self, "history", "_cost", "_seen")
            statistics.forget_all(self.model)
            self._record("edit", report)
            self._seen = self._trigger.after_edit_of_another(self._seen)

    def _check_siblings(self):
        siblings = find_siblings(self)
        check_siblings(siblings)
        editors = [type(x).__name__ for x in siblings if isinstance(x, StructureCallback)]
        if len(editors) > 1:
            raise ValueError(f"Only one callback can decide on the structure of a model. Received: callbacks={editors}")

    def _reset(self):
        self.history, self.initial_widths, self._cost, self._epoch = [], {}, None, 0
        self._phase, self._edits_in_phase, self._batches, self._seen = 0, 0, 0, self._triggers[0].start()

    @property
    def _trigger(self):
        """That of the phase, or of the last phase where all are over."""
        return self._triggers[min(self._phase, len(self._triggers) - 1)]

    def _listen_if_due(self):
        if not self.finished and not self._saliency.is_listening and self._trigger.has_started(self._seen):
            self._saliency.listen(self.model)

    def _edit_if_due(self):
        if self._trigger.has_started(self._seen) and not self._saliency.is_listening and not self.finished:
            pull_state(self.model)
            self._listen_if_due()
        if not self.finished and self._trigger.is_due(self._seen):
            self._seen = self._trigger.begin()
            self._edit()

    def _edit(self):
        """One edit: score, decide, apply."""
        start = time.perf_counter()
        pull_state(self.model)
        statistics.settle(self.model)
        groups, seed = free_groups(self.model), self._seed_of_edit()
        scores = agree(self._saliency.scores(self.model, groups, seed))
        self._saliency.stop()
        self._is_editing = True
        try:
            plan, phase = self._propose(groups, scores)
            if plan is not None:
                report = apply(self.model, plan, seed=seed, **phase.apply_options)
                if any(len(set(index)) < report.widths_before[name] for name, index in plan.items()):
                    statistics.begin(self.model)
                self._record(phase.kind, report, scores, time.perf_counter() - start)
                self._say(self.history[-1].describe())
            self._listen_if_due()
        finally:
            self._is_editing = False
            push_state(self.model)

    def _propose(self, groups, scores):
        """The plan of the first phase that is due and has something left to do, and the phase."""
        plan, phase, trigger = None, None, self._trigger
        while plan is None and not self.finished and self._trigger is trigger:
            phase = self._phases[self._phase]
            width_cost = phase.budget.cost_of(self.model, groups)
            plan, done = phase.propose(groups, scores, width_cost, self._edits_in_phase)
            self._edits_in_phase += 1
            if done:
                self._begin_next_phase()
        return plan, phase

    def _begin_next_phase(self):
        before = self._trigger
        self._phase, self._edits_in_phase = self._phase + 1, 0
        if self._trigger is not before:
            self._seen = self._trigger.start()

    def _seed_of_edit(self):
        return None if self._seed is None else self._seed + len(self.history)

    def _record(self, kind, report, scores=None, seconds=0.0):
        before, after = self._cost, cost(self.model)
        edit = Edit(
            epoch=self._epoch,
            step=int(keras.ops.convert_to_numpy(self.model.optimizer.iterations)),
            kind=kind,
            units_before=sum(report.widths_before[name] for name in self.initial_widths),
            units_after=sum(report.widths_after[name] for name in self.initial_widths),
            params_before=before.params,
            params_after=after.params,
            macs_before=before.macs,
            macs_after=after.macs,
            widths={name: report.widths_after[name] for name in self.initial_widths},
            plan=dict(report.plan),
            scores=scores or {},
            seconds=seconds,
        )
        self.history, self._cost = [*self.history, edit], after

    def _say(self, line):
        if self.params.get("verbose", 1) and is_first_process():
            # Within an epoch, a progress bar stands unfinished on the line.
            begin = "\n" if self._batches and self.params.get("verbose") == 1 else ""
            sys.stdout.write(f"{begin}{line}\n")
            sys.stdout.flush()
