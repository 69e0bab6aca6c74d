"""What an edit has to leave alone, whatever the model: equalities that hold for every graph.

Each check takes a `Subject`, edits a copy of its model and compares numbers.
"""

import dataclasses

import keras
import numpy as np
from keras import layers
from keras.src.ops import nn

from cgap_keras import apply, find_groups, rebuild
from cgap_keras.structure import find_variables
from cgap_keras.structure.graph import trace
from cgap_keras.structure.layout import gather_positions
from tests.masking import run_masked
from tests.models import difference, run_model

TOLERANCE = 1e-4
# What new units are told from their parents by, which may not be seen in the outputs.
NOISE = 0.5
# What these compute changes with the number of channels, so that a missing channel is not one of zeros.
STATISTICS = (
    layers.GroupNormalization,
    layers.LayerNormalization,
    layers.RMSNormalization,
    layers.SpectralNormalization,
    layers.UnitNormalization,
    nn.LayerNorm,
    nn.Normalize,
    nn.RMSNorm,
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model of random weights, its groups, its inputs and outputs."""

    model: keras.Model
    groups: tuple
    inputs: list
    outputs: list
    seed: int

    @property
    def free(self):
        return [group for group in self.groups if not group.frozen]


def check_edits(model, inputs, seed=0):
    """All equalities, on one model."""
    subject = Subject(model, find_groups(model), inputs, run_model(model, inputs), seed)
    if subject.free:
        for check in (check_split_growth, check_zero_growth, check_pruning, check_halving):
            check(subject, np.random.default_rng(seed))


def check_split_growth(subject, rng):
    """Every free group grows by a quarter and is reordered; those that copies change are reordered alone."""
    plan = {g.name: _grown(g.size, rng) if g.exact else rng.permutation(g.size).tolist() for g in subject.free}
    grown = rebuild(subject.model, plan, noise=NOISE, seed=subject.seed)
    _check_outputs(subject.outputs, grown, subject.inputs, "split growth")
    _check_groups(subject.groups, grown, plan)


def check_zero_growth(subject, rng):
    """New units without outgoing weights come and go."""
    plan = {g.name: _grown(g.size, rng) for g in subject.free if g.exact}
    edited = rebuild(subject.model, plan, new_units="zero", noise=NOISE, seed=subject.seed)
    _check_outputs(subject.outputs, edited, subject.inputs, "zero growth")
    apply(edited, {name: np.unique(index, return_index=True)[1].tolist() for name, index in plan.items()})
    _check_outputs(subject.outputs, edited, subject.inputs, "pruning what was grown")
    _check_groups(subject.groups, edited, {})


def check_pruning(subject, rng):
    """A model without some units equals the original with these units masked."""
    # Layers inside wrappers are no calls of the graph, and operations of `keras.ops` are no layers.
    parts = [*subject.model._flatten_layers(), *(call.operation for call in trace(subject.model).calls)]
    has_statistics = any(isinstance(part, STATISTICS) for part in parts)
    groups = [g for g in subject.free if g.size > 1 and (g.exact or not has_statistics)]
    plan = {g.name: rng.permutation(g.size)[: rng.integers(1, g.size)].tolist() for g in groups}
    masked, marks = run_masked(subject.model, subject.inputs, _pruned_slices(subject.model, groups, plan))
    _expect(not any(x.any() for x in marks), "outputs that no pruned unit reaches", plan)
    pruned = rebuild(subject.model, plan)
    _check_outputs(masked, pruned, subject.inputs, "pruning")
    _check_groups(subject.groups, pruned, plan)


def check_halving(subject, rng):
    """Half of every group that can be edited goes."""
    plan = {g.name: list(range((g.size + 1) // 2)) for g in subject.free}
    halved = rebuild(subject.model, plan)
    shapes = [x.shape for x in run_model(halved, subject.inputs)]
    _expect(shapes == [x.shape for x in subject.outputs], "the outputs' shapes", shapes)
    _check_groups(subject.groups, halved, plan)


def _grown(size, rng):
    return rng.permutation([*range(size), *rng.integers(0, size, -(-size // 4))]).tolist()


def _pruned_slices(model, groups, plan):
    """The slices that make the units that a plan leaves out: `{id(variable): {axis: positions}}`."""
    variables, pruned = find_variables(model), {}
    kept = {group.index: plan[group.name] for group in groups}
    for axis in (axis for group in groups for axis in group.producers if axis.role == "produce"):
        gone = np.setdiff1d(np.arange(sum(run.size for run in axis.runs)), gather_positions(axis.runs, kept))
        pruned.setdefault(id(variables[axis.variable]), {})[axis.axis] = gone
    return pruned


def _check_outputs(expected, model, inputs, edit):
    error = difference(expected, run_model(model, inputs))
    _expect(error < TOLERANCE, f"outputs that {edit} leaves alone", error)


def _check_groups(before, edited, plan):
    """The edited model has the same groups, of the sizes planned, unless one of them was left with a single unit."""
    sizes = {g.name: len(plan.get(g.name, range(g.size))) for g in before}
    if any(sizes[g.name] == 1 < g.size for g in before):
        return
    wanted = [(g.name, sizes[g.name], bool(g.frozen)) for g in before]
    found = [(g.name, g.size, bool(g.frozen)) for g in find_groups(edited)]
    _expect(found == wanted, f"the groups {wanted}", found)


def _expect(condition, what, received):
    if not condition:
        raise AssertionError(f"Expected {what}. Received: {received}")
