"""Saliency in the course of a training: gathered step by step, or looked at when it is asked for."""

from cgap_keras.saliency import criteria
from cgap_keras.saliency.observer import GradientObserver
from cgap_keras.saliency.scoring import score_weights
from cgap_keras.structure.groups import find_groups
from cgap_keras.surgery.live import push_state


class SaliencyInTraining:
    """What a criterion says of the units of a model in training.

    Args:
        criterion: The name of a criterion, or a `Criterion`.

    Raises:
        ValueError: If there is none of that name.
    """

    def __init__(self, criterion):
        self.criterion = criteria.get(criterion)
        self._observer, self._seen = None, {}

    @property
    def variables(self):
        """The variables that training carries for this, among the optimizer's."""
        return self._observer.sums if self._observer is not None else []

    @property
    def is_listening(self):
        """Whether all is gathered that the criterion needs; nothing is, for one that looks when it is asked."""
        return self._observer is not None or self.criterion.needs != "gradients"

    def check(self, model, groups):
        """Raises a `ValueError` if the criterion has nothing to look at in one of the groups."""
        self._seen = {}
        if self.criterion.needs == "gradients":
            GradientObserver(model, groups, self.criterion, self._seen)
        else:
            score_weights(model, groups, self.criterion, seed=0)

    def listen(self, model):
        """Begins to gather what training shows, if the criterion needs that."""
        if self.criterion.needs == "gradients":
            self._observer = GradientObserver(model, free_groups(model), self.criterion, self._seen)
            self._observer.attach()
            push_state(model)

    def stop(self):
        """Stops listening; whether there was anything to stop. The training function has to be traced again then."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.detach()
        return observer is not None

    def scores(self, model, groups, seed):
        """The saliency of each unit, `{group name: float array}`."""
        if self._observer is not None:
            return self._observer.scores(groups)
        return score_weights(model, groups, self.criterion, seed=seed)


def free_groups(model):
    """The groups of a model that can be resized."""
    return [group for group in find_groups(model) if not group.frozen]
