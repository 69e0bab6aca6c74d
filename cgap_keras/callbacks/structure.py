"""What the callbacks share: phases that follow each other, each proposing edits from what training has shown."""

import sys
import time

import keras

from cgap_keras.cost import cost
from cgap_keras.policy.budget import WidthCost
from cgap_keras.report.history import Edit
from cgap_keras.saliency import criteria
from cgap_keras.saliency.observer import GradientObserver
from cgap_keras.saliency.scoring import score_weights
from cgap_keras.structure.groups import find_groups
from cgap_keras.surgery.apply import apply
from cgap_keras.surgery.live import pull_state, push_state
from cgap_keras.surgery.slots import find_slots


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
        self._reset()

    @property
    def finished(self):
        """Whether every phase has come to its end."""
        return self._phase == len(self._phases)

    def on_train_begin(self, logs=None):
        self._reset()
        groups = find_groups(self.model)
        if all(group.frozen for group in groups):
            reasons = "; ".join(f"{group.name}: {group.frozen}" for group in groups)
            raise ValueError(
                f"The model has no channel group that can be resized. {reasons} Received: model={self.model.name!r}"
            )
        self.initial_widths = {group.name: group.size for group in groups if not group.frozen}
        # What an edit needs has to fail here, not epochs later.
        cost(self.model)
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        find_slots(self.model.optimizer)
        self._observe()

    def on_epoch_begin(self, epoch, logs=None):
        if self.finished or self._epochs_since_edit < self._every:
            return
        self._epochs_since_edit = 0
        self._edit(epoch)

    def on_epoch_end(self, epoch, logs=None):
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

    def _reset(self):
        self.history, self.initial_widths = [], {}
        self._phase, self._edits_in_phase, self._epochs_since_edit = 0, 0, 0

    def _edit(self, epoch):
        """One edit: score, decide, apply."""
        start = time.perf_counter()
        pull_state(self.model)
        groups = [group for group in find_groups(self.model) if not group.frozen]
        scores = self._scores(groups)
        self._stop_observing()
        try:
            plan, phase = self._propose(groups, scores)
            if plan is not None:
                self._carry_out(plan, phase, groups, scores, epoch, start)
        finally:
            if not self.finished:
                self._observe()
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

    def _carry_out(self, plan, phase, groups, scores, epoch, start):
        before, seed = cost(self.model), None if self._seed is None else self._seed + len(self.history)
        new_units = {"new_units": phase.new_units, "noise": phase.noise} if phase.kind == "grow" else {}
        report = apply(self.model, plan, seed=seed, **new_units)
        after, names = cost(self.model), [group.name for group in groups]
        edit = Edit(
            epoch=epoch,
            step=int(self.model.optimizer.iterations),
            kind=phase.kind,
            units_before=sum(report.widths_before[name] for name in names),
            units_after=sum(report.widths_after[name] for name in names),
            params_before=before.params,
            params_after=after.params,
            macs_before=before.macs,
            macs_after=after.macs,
            widths={name: report.widths_after[name] for name in names},
            plan=dict(plan),
            scores=scores,
            seconds=time.perf_counter() - start,
        )
        self.history.append(edit)
        self._say(edit.describe())

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
            return self._observer.scores()
        return score_weights(self.model, groups, self._criterion)

    def _say(self, line):
        if self.params.get("verbose", 1):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
