"""Which units come first: saliencies made comparable, sets of groups in which they are compared, one order over all.

A unit is compared with the units of its set. Its place in the set, as a share of the set, is what is compared across
sets. One set for all groups is a global ranking; a set for each group takes the same share of each; and whatever lies
between is the same sort.
"""

import dataclasses

import numpy as np


def _signature(group):
    """What makes two groups alike: which variables they lie along, on which axes, in which roles."""
    return tuple(sorted((axis.variable.rpartition("/")[2], axis.axis, axis.role) for axis in group.axes))


SCOPES = {
    "global": lambda group: None,
    "local": lambda group: group.name,
    "isomorphic": _signature,
}
NORMALIZERS = {
    "mean": np.mean,
    "max": np.max,
    "l2": np.linalg.norm,
    "none": lambda scores: 1.0,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking:
    """How units of different groups are compared; what all policies have in common.

    Attributes:
        scope: Which units are compared by their saliency. `"global"`: all. `"local"`: those of one group, so that every
            group gives or gets the same share. `"isomorphic"`: those of groups that are alike, that is, which lie along
            the same kinds of variables on the same axes in the same roles (Fang, Ma, Michael Bi Mi, Wang, "Isomorphic
            Pruning for Vision Models", ECCV 2024).
        normalize: What saliencies are divided by, group by group, before they are compared: the group's `"mean"`, its
            `"max"`, its `"l2"` norm (Molchanov, Tyree, Karras, Aila, Kautz, "Pruning Convolutional Neural Networks for
            Resource Efficient Inference", ICLR 2017), or `"none"`. Gradients differ by orders of magnitude
            between layers, and without a division whole layers close.
        per_cost: Whether saliency is divided by what one more unit of the group would cost, in the currency of the
            budget: what is then ranked is the gain for the same price.
    """

    scope: str = "global"
    normalize: str = "mean"
    per_cost: bool = False

    def __post_init__(self):
        for name, known in (("scope", SCOPES), ("normalize", NORMALIZERS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(known)}. Received: {name}={getattr(self, name)!r}"
                )

    def weigh(self, groups, scores, width_cost):
        """What the units of each group are ranked by, `{group name: float array}`."""
        values = normalized(scores, self.normalize)
        return {x.name: values[x.name] / _unit_cost(x, width_cost) for x in groups} if self.per_cost else values

    def order(self, groups, candidates):
        """Candidates of all groups in one order.

        Args:
            groups: The channel groups.
            candidates: `{group name: [(value, units), ...]}`: what can be taken, those of low value first.

        Returns:
            A list of `(group name, units)`, the first to be taken first; those of one group as they came, and where
            nothing else decides the groups as well.
        """
        sets = {}
        for group in groups:
            sets.setdefault(SCOPES[self.scope](group), []).append(group)
        placed = [entry for members in sets.values() for entry in _places(members, candidates)]
        placed.sort(key=lambda entry: entry[0])
        return [(name, units) for _, name, units in placed]


def normalized(scores, normalize="mean"):
    """Saliencies as multiples of a number that tells the size of their group's.

    Args:
        scores: `{group name: float array}`.
        normalize: What to divide by, see `Ranking`.

    Returns:
        The same, divided; ones where every saliency of a group is zero.

    Raises:
        ValueError: If a saliency is not a finite number, or is negative where it has to be divided.
    """
    for name, x in scores.items():
        if not np.all(np.isfinite(x)) or (normalize != "none" and np.any(np.asarray(x) < 0)):
            raise ValueError(
                f"The saliencies of group {name!r} cannot be ranked: they have to be finite numbers, as they are not "
                f'where the loss has diverged, and not negative, unless normalize="none". Received: saliencies={x}'
            )
    sizes = {name: NORMALIZERS[normalize](x) for name, x in scores.items()}
    return {name: x / sizes[name] if sizes[name] > 0 else np.ones_like(x) for name, x in scores.items()}


def _places(members, candidates):
    """`(share of the set that comes before the middle of the candidate, group name, units)` of one set."""
    size = sum(group.size for group in members)
    entries = [(value, group.name, units) for group in members for value, units in candidates[group.name]]
    entries.sort(key=lambda entry: entry[0])
    before = np.cumsum([0, *(len(units) for _, _, units in entries)])
    return [((before[i] + before[i + 1]) / (2 * size), *entry[1:]) for i, entry in enumerate(entries)]


def _unit_cost(group, width_cost):
    """What one more unit costs. Next to nothing, where it costs nothing: so the saliency decides among such units."""
    now = width_cost()
    return max(width_cost({group.name: group.size + 1}) - now, 1e-9 * now)
