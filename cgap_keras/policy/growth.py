"""When and where a network grows."""

import dataclasses
import math

import numpy as np

from cgap_keras.policy.selection import count_by_group, grow_plan, longest_prefix, normalize


@dataclasses.dataclass(frozen=True)
class GrowthPolicy:
    """The units that matter most get a sibling, until the network has reached its capacity.

    Attributes:
        capacity: The cost at which growth ends; it is never exceeded.
        rate: The share of each group's units, those of highest saliency, that get a sibling at one edit, in (0, 1].
        new_units: How new units are made, see `cgap_keras.apply`.
        noise: The noise on their incoming weights, relative to their parent's standard deviation. Without any, siblings
            stay equal for ever. `benchmarks/new_unit_noise.py` gives 97.3, 97.2, 97.8, 97.8 % for 0, 0.1, 0.5, 1.0 on
            validation images of the digits (means of four seeds, which differ by as much): of the two that are ahead,
            the default is the one that leaves a sibling closer to its parent.
    """

    capacity: int
    rate: float = 0.5
    new_units: str = "split"
    noise: float = 0.5
    kind = "grow"

    def __post_init__(self):
        if self.capacity <= 0:
            raise ValueError(f"`capacity` must be positive. Received: capacity={self.capacity}")
        if not 0 < self.rate <= 1:
            raise ValueError(f"`growth_rate` must be above 0 and at most 1. Received: growth_rate={self.rate}")

    def propose(self, groups, scores, width_cost, edits_made=0):
        """The next edit.

        Args:
            groups: The groups that may grow.
            scores: `{group name: saliency of each unit}`.
            width_cost: A `WidthCost`.
            edits_made: How many edits of this phase there have been.

        Returns:
            `(plan, finished)`: the next `Plan`, or `None` if not even one unit more fits, and whether it is the last.
        """
        ranked = self._candidates(groups, normalize(scores))
        sizes = {group.name: group.size for group in groups}

        def fits(count):
            widths = {name: sizes[name] + n for name, n in count_by_group(ranked[:count]).items()}
            return width_cost(widths) <= self.capacity

        count = longest_prefix(ranked, fits)
        plan = grow_plan(groups, ranked[:count]) if count else None
        return plan, count < len(ranked)

    def _candidates(self, groups, scores):
        """The top units of every group as `(group name, unit)`, the most salient first."""
        candidates = []
        for group in groups:
            values = scores[group.name]
            top = np.argsort(-values, kind="stable")[: math.ceil(self.rate * group.size)]
            candidates += [(values[unit], group.name, int(unit)) for unit in top]
        candidates.sort(key=lambda candidate: -candidate[0])
        return [(name, unit) for _, name, unit in candidates]
