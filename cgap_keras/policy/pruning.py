"""When and where a network shrinks."""

import dataclasses

import numpy as np

from cgap_keras.policy.budget import Budget, as_budget
from cgap_keras.policy.lattice import aligned_below, efficient, is_aligned
from cgap_keras.policy.ranking import Ranking
from cgap_keras.policy.schedules import SCHEDULES
from cgap_keras.policy.selection import longest_prefix, planned_widths, prune_plan


@dataclasses.dataclass(frozen=True)
class PruningPolicy(Ranking):
    """The units that matter least go, in steps down to a target. At least one of each group stays.

    Attributes:
        target: The cost at which pruning ends; the pruned network costs at most this. A number of parameters, or a
            `Budget`.
        steps: Over how many edits.
        schedule: How far each edit goes: `"exponential"` (steps of equal ratio), `"linear"` (of equal amount) or
            `"polynomial"` (cubic: large ones first).
        round_to: Kept widths are multiples of this from four times as many units on, and of smaller powers of two below
            (with 8: of 4 from 16 units, of 2 from 8), because kernels of real devices work on 4 or 8 channels at a
            time. A power of two; 1 keeps any width. Units then go in chunks, ranked by their mean saliency.
        floor: The share of a group's units, those of highest saliency, that one edit keeps, in [0, 1), though it may
            always take the first chunk. Keeps a layer from closing while its units still adapt.
        scope: See `Ranking`, as for the next two.
        normalize: What saliencies are divided by.
        per_cost: Whether what a unit costs counts too.
    """

    target: Budget | float
    steps: int = 5
    schedule: str = "exponential"
    round_to: int = 8
    floor: float = 0.25
    kind = "prune"

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "target", as_budget("target", self.target))
        if self.steps < 1:
            raise ValueError(f"`steps` (`prune_steps` of CGaP) must be at least 1. Received: steps={self.steps}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"`schedule` must be one of {', '.join(SCHEDULES)}. Received: schedule={self.schedule!r}")
        if type(self.round_to) is not int or self.round_to.bit_count() != 1:
            raise ValueError(f"`round_to` must be a power of two, or 1. Received: round_to={self.round_to!r}")
        if not 0 <= self.floor < 1:
            raise ValueError(f"`floor` must be at least 0 and below 1. Received: floor={self.floor}")

    @property
    def budget(self):
        """The `Budget` in which this phase counts."""
        return self.target

    @property
    def apply_options(self):
        """How `cgap_keras.apply` is to carry a plan out: a unit that is left out leaves no choice."""
        return {}

    def check(self, groups, width_cost):
        """Raises a `ValueError` if the target is out of reach, with the least cost that is possible."""
        least = width_cost({group.name: 1 for group in groups})
        if least > self.target.amount:
            raise ValueError(
                f"`target` cannot be reached: with a single unit in each group that can be resized, the network still "
                f"costs {least:,}. Received: target={self.target.amount:,}"
            )

    def propose(self, groups, scores, width_cost, edits_made=0):
        """The next edit.

        Args:
            groups: The groups that may shrink.
            scores: `{group name: saliency of each unit}`.
            width_cost: The cost as a function of widths, of `Budget.cost_of`.
            edits_made: How many edits of this phase there have been.

        Returns:
            `(plan, finished)`: the next `Plan`, or `None` if there is nothing to prune, and whether it is the last.

        Raises:
            ValueError: If nothing is left to prune, and the network still costs more than the target.
        """
        now, target = width_cost(), self.target.amount
        goal = max(target, SCHEDULES[self.schedule](now, target, max(self.steps - edits_made, 1)))
        if now <= goal:
            return None, True
        first, others = self._candidates(groups, self.weigh(groups, scores, width_cost), width_cost)
        ranked = [*first, *self.order(groups, others)]
        if not ranked:
            self.check(groups, width_cost)

        def cost_without(count):
            return width_cost(planned_widths(groups, ranked[:count], -1))

        # One more than the longest prefix that is still too dear.
        too_dear = longest_prefix(ranked, lambda count: cost_without(count) > goal)
        count = max(min(too_dear + 1, len(ranked)), len(first))
        return prune_plan(groups, ranked[:count]), cost_without(count) <= target

    def _candidates(self, groups, values, width_cost):
        """What has to go first, for every width to be one that may be kept, and what may go then, by group."""
        first, others = [], {}
        for group in groups:
            chunks = self._chunks(group, values[group.name], self._kept_widths(group, width_cost))
            if not is_aligned(group.size, self.round_to):
                first.append((group.name, chunks.pop(0)[1]))
            others[group.name] = chunks
        return first, others

    def _kept_widths(self, group, width_cost):
        """The widths to which a group may shrink, the largest first."""
        widths = aligned_below(group.size, self.round_to)
        if not width_cost.is_stepwise:
            return [width for width in widths if width >= self.floor * group.size] or widths[:1]
        costs = {width: width_cost({group.name: width}) for width in {group.size, *widths, 1}}
        widths = [width for width in efficient(costs) if width < group.size and width in widths]
        return [width for width in widths if width >= self.floor * group.size] or widths[:1]

    def _chunks(self, group, values, widths):
        """`(mean saliency, units)` of what a group can do without, the least salient first."""
        chunks = np.split(np.argsort(values, kind="stable"), [group.size - width for width in widths])[:-1]
        # Rounding must not put a chunk before one that is less salient.
        means = np.maximum.accumulate([values[chunk].mean() for chunk in chunks])
        return [(mean, tuple(chunk.tolist())) for mean, chunk in zip(means, chunks, strict=True)]
