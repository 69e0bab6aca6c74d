"""What the callbacks share: phases that follow each other, each proposing edits from what training has shown."""

import sys
import time

import keras

from cgap_keras.callbacks.siblings import check_siblings, find_siblings
from cgap_keras.cost import cost
from cgap_keras.distribution import agree, check_distribution, is_first_process
from cgap_keras.policy.budget import WidthCost
from cgap_keras.report.history import Edit
from cgap_keras.saliency import criteria
from cgap_keras.saliency.observer import GradientObserver
from cgap_keras.saliency.scoring import score_weights
from cgap_keras.structure.groups import find_groups
from cgap_keras.surgery.apply import apply
from cgap_keras.surgery.live import pull_state, push_state
from cgap_keras.surgery.slots import find_slots, fresh_state

# Beside the edits and the gathered saliency, all that changes in the course of a training.
_STATE = ("initial_widths", "_epoch", "_phase", "_edits_in_phase", "_epochs_since_edit")


class StructureCallback(keras.callbacks.Callback):
    """Edits the model's structure between epochs of `fit`.

    Edits come before an epoch rather than after one, so that the validation and the checkpoints of an epoch see the
    structure that was trained in it.

    Attributes:
        history: The edits so far, a list of `cgap_keras.report.Edit`.
        initial_widths: `{group name: units}` at the start of training.
    """

    def __init__(self, phases, every=1, criterion="taylor", currency="params", seed=None):
        super().__init__()
        if every < 1:
            raise ValueError(f"`every` must be at least 1 epoch. Received: every={every}")
        self._phases, self._every, self._seed, self._currency = phases, every, seed, currency
        self._criterion = criteria.get(criterion)
        self._observer = None
        self._is_editing = False
        self._reset()

    @property
    def finished(self):
        """Whether every phase has come to its end."""
        return self._phase == len(self._phases)

    @property
    def settings(self):
        """What the callback was made with, as a plain value."""
        phases = [[type(phase).__name__, vars(phase)] for phase in self._phases]
        own = {"every": self._every, "criterion": self._criterion.name, "currency": self._currency, "seed": self._seed}
        return {"phases": phases, **own}

    @property
    def carried_variables(self):
        """The variables that training carries for this callback, among the optimizer's."""
        return self._observer.sums if self._observer is not None else []

    def get_state(self):
        """What the callback knows of the training so far, as a plain value; `set_state` sets it."""
        return {
            "history": [edit.to_dict() for edit in self.history],
            "carried": [keras.ops.convert_to_numpy(variable.value) for variable in self.carried_variables],
            **{name: getattr(self, name) for name in _STATE},
        }

    def set_state(self, state):
        """Goes on from what `get_state` returned, on a model with the structure that it had then."""
        self.history, self._cost = [Edit.from_dict(edit) for edit in state["history"]], cost(self.model)
        for name in _STATE:
            setattr(self, name, state[name])
        self._stop_observing()
        if not self.finished:
            self._observe()
        for variable, value in zip(self.carried_variables, state["carried"], strict=True):
            variable.assign(value)

    def on_train_begin(self, logs=None):
        self._check_siblings()
        self._reset()
        check_distribution(self.model)
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
        self._observe()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if self.finished or self._epochs_since_edit < self._every:
            return
        self._epochs_since_edit = 0
        self._edit()

    def on_epoch_end(self, epoch, logs=None):
        self._epoch = epoch + 1
        self._epochs_since_edit += 1

    def on_train_end(self, logs=None):
        if self._observer is not None:
            self._stop_observing()
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
            transaction.keep(self, "history", "_cost")
            self._record("edit", report)

    def _check_siblings(self):
        siblings = find_siblings(self)
        check_siblings(siblings)
        editors = [type(x).__name__ for x in siblings if isinstance(x, StructureCallback)]
        if len(editors) > 1:
            raise ValueError(f"Only one callback can decide on the structure of a model. Received: callbacks={editors}")

    def _reset(self):
        self.history, self.initial_widths, self._cost, self._epoch = [], {}, None, 0
        self._phase, self._edits_in_phase, self._epochs_since_edit = 0, 0, 0

    def _edit(self):
        """One edit: score, decide, apply."""
        start = time.perf_counter()
        pull_state(self.model)
        groups = [group for group in find_groups(self.model) if not group.frozen]
        scores = agree(self._scores(groups))
        self._stop_observing()
        self._is_editing = True
        try:
            plan, phase = self._propose(groups, scores)
            if plan is not None:
                self._carry_out(plan, phase, scores, start)
            if not self.finished:
                self._observe()
        finally:
            self._is_editing = False
            push_state(self.model)

    def _propose(self, groups, scores):
        """The plan of the first phase that has something left to do, and the phase."""
        plan = phase = None
        while plan is None and not self.finished:
            phase = self._phases[self._phase]
            plan, done = phase.propose(
                groups, scores, WidthCost(self.model, groups, self._currency), self._edits_in_phase
            )
            self._edits_in_phase += 1
            if done:
                self._phase, self._edits_in_phase = self._phase + 1, 0
        return plan, phase

    def _carry_out(self, plan, phase, scores, start):
        seed = None if self._seed is None else self._seed + len(self.history)
        new_units = {"new_units": phase.new_units, "noise": phase.noise} if phase.kind == "grow" else {}
        report = apply(self.model, plan, seed=seed, **new_units)
        self._record(phase.kind, report, scores, time.perf_counter() - start)
        self._say(self.history[-1].describe())

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

    def _observe(self):
        if self._criterion.needs_gradient:
            groups = [group for group in find_groups(self.model) if not group.frozen]
            self._observer = GradientObserver(self.model, groups, self._criterion)
            self._observer.attach()
            push_state(self.model)

    def _stop_observing(self):
        if self._observer is not None:
            self._observer.detach()
            self._observer = None

    def _scores(self, groups):
        if self._observer is not None:
            return self._observer.scores(groups)
        return score_weights(self.model, groups, self._criterion)

    def _say(self, line):
        if self.params.get("verbose", 1) and is_first_process():
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
