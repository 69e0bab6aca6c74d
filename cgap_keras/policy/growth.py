"""When and where a network grows."""

import dataclasses
import math

import numpy as np

from cgap_keras.policy.budget import Budget, as_budget
from cgap_keras.policy.ranking import Ranking
from cgap_keras.policy.selection import grow_plan, longest_prefix, planned_widths
from cgap_keras.surgery.gather import NEW_UNITS


@dataclasses.dataclass(frozen=True)
class GrowthPolicy(Ranking):
    """The units that matter most get a sibling, until the network has reached its capacity.

    Attributes:
        capacity: The cost at which growth ends; it is never exceeded. A number of parameters, or a `Budget`.
        rate: The share of each group's units, those of highest saliency, that get a sibling at one edit, in (0, 1].
            When capacity runs short, the ranking decides which of them go first.
        new_units: How new units are made, see `cgap_keras.apply`.
        noise: What tells them from their parents, see there. Without any, siblings stay equal for ever. With 0.5, the
            default, the shares of two siblings of a split are uncorrelated and have together the norm of their
            parent's weights; `benchmarks/new_units.py` has what other values do to a ResNet-20.
        scope: See `Ranking`, as for the next two.
        normalize: What saliencies are divided by.
        per_cost: Whether what a unit costs counts too.
    """

    capacity: Budget | float
    rate: float = 0.5
    new_units: str = "split"
    noise: float = 0.5
    kind = "grow"

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "capacity", as_budget("capacity", self.capacity))
        if not 0 < self.rate <= 1:
            raise ValueError(
                f"`rate` (`growth_rate` of the callbacks) must be above 0 and at most 1. Received: rate={self.rate}"
            )
        if self.new_units not in NEW_UNITS:
            raise ValueError(
                f"`new_units` must be one of {', '.join(NEW_UNITS)}. Received: new_units={self.new_units!r}"
            )
        if self.noise < 0:
            raise ValueError(f"`noise` must not be negative. Received: noise={self.noise}")

    @property
    def budget(self):
        """The `Budget` in which this phase counts."""
        return self.capacity

    @property
    def apply_options(self):
        """How `cgap_keras.apply` is to carry a plan out."""
        return {"new_units": self.new_units, "noise": self.noise}

    def check(self, groups, width_cost):
        """Tells before training whether the policy can be followed; here all that can fail is the cost itself."""
        width_cost()

    def propose(self, groups, scores, width_cost, edits_made=0):
        """The next edit.

        Args:
            groups: The groups that may grow.
            scores: `{group name: saliency of each unit}`.
            width_cost: The cost as a function of widths, of `Budget.cost_of`.
            edits_made: How many edits of this phase there have been.

        Returns:
            `(plan, finished)`: the next `Plan`, or `None` if not even one unit more fits, and whether it is the last.
        """
        values = self.weigh(groups, scores, width_cost)
        ranked = self.order(groups, {group.name: self._best(group, values[group.name]) for group in groups})

        def fits(count):
            return width_cost(planned_widths(groups, ranked[:count], +1)) <= self.capacity.amount

        count = longest_prefix(ranked, fits)
        plan = grow_plan(groups, ranked[:count]) if count else None
        return plan, count < len(ranked)

    def _best(self, group, values):
        """The top units of a group as candidates, the most salient first."""
        order = np.argsort(-values, kind="stable")[: math.ceil(self.rate * group.size)]
        return [(-values[unit], (int(unit),)) for unit in order]
