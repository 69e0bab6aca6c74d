"""When and where a network shrinks."""

import dataclasses
import math

import numpy as np

from cgap_keras.policy.selection import count_by_group, longest_prefix, normalize, prune_plan


@dataclasses.dataclass(frozen=True)
class PruningPolicy:
    """The units that matter least go, over all groups together, in steps of equal ratio down to a target.

    Attributes:
        target: The cost at which pruning ends; the pruned network costs at most this.
        steps: Over how many edits.
        floor: The share of a group's units, those of highest saliency, that one edit always keeps, in [0, 1). Keeps a
            layer from closing while its units still adapt.
    """

    target: int
    steps: int = 5
    floor: float = 0.25
    kind = "prune"

    def __post_init__(self):
        if self.target <= 0:
            raise ValueError(f"`target` must be positive. Received: target={self.target}")
        if self.steps < 1:
            raise ValueError(f"`prune_steps` must be at least 1. Received: prune_steps={self.steps}")
        if not 0 <= self.floor < 1:
            raise ValueError(f"`floor` must be at least 0 and below 1. Received: floor={self.floor}")

    def propose(self, groups, scores, width_cost, edits_made=0):
        """The next edit.

        Args:
            groups: The groups that may shrink.
            scores: `{group name: saliency of each unit}`.
            width_cost: A `WidthCost`.
            edits_made: How many edits of this phase there have been.

        Returns:
            `(plan, finished)`: the next `Plan`, or `None` if there is nothing to prune, and whether it is the last.
        """
        now = width_cost()
        goal = max(self.target, now * (self.target / now) ** (1 / max(self.steps - edits_made, 1)))
        ranked = self._candidates(groups, normalize(scores))
        sizes = {group.name: group.size for group in groups}

        def cost_without(count):
            return width_cost({name: sizes[name] - n for name, n in count_by_group(ranked[:count]).items()})

        # One more than the longest prefix that is still too dear.
        too_dear = longest_prefix(ranked, lambda count: cost_without(count) > goal)
        count = min(too_dear + 1, len(ranked)) if now > goal else 0
        if not count:
            return None, True
        return prune_plan(groups, ranked[:count]), cost_without(count) <= self.target

    def _candidates(self, groups, scores):
        """All units but the best of each group as `(group name, unit)`, the least salient first."""
        candidates = []
        for group in groups:
            values = scores[group.name]
            kept = max(1, math.ceil(self.floor * group.size))
            order = np.argsort(values, kind="stable")[: group.size - kept]
            candidates += [(values[unit], group.name, int(unit)) for unit in order]
        candidates.sort(key=lambda candidate: candidate[0])
        return [(name, unit) for _, name, unit in candidates]
