"""Channel groups: the widths of a model that have to change together."""

import dataclasses
import weakref

import numpy as np

from cgap_keras.structure import rules  # noqa: F401  (fills the table of rules)
from cgap_keras.structure.collection import without_collection
from cgap_keras.structure.graph import shape_of, trace
from cgap_keras.structure.labelling import label_tensors
from cgap_keras.structure.layout import FIXED, Run, parse_runs, resize_runs
from cgap_keras.structure.registry import known_rules
from cgap_keras.structure.tracer import Tracer, fixed_labels


@dataclasses.dataclass(frozen=True)
class VariableAxis:
    """One axis of a variable, and the units along it.

    Attributes:
        layer: Path of the layer that owns the variable, `"encoder/conv2d_3"`.
        variable: Path of the variable, `"encoder/conv2d_3/kernel"`.
        axis: The axis, counted from 0.
        role: `"produce"` where a slice makes the unit (a convolution's filters), `"carry"` where a slice belongs to a
            unit made elsewhere (a normalisation's scale, a bias), `"consume"` where a slice reads the unit linearly.
        runs: The groups that lie along the axis, in order; a tuple of `Run`.
    """

    layer: str
    variable: str
    axis: int
    role: str
    runs: tuple[Run, ...]

    @property
    def key(self):
        """What identifies the axis within a model."""
        return self.variable, self.axis


@dataclasses.dataclass(frozen=True)
class SizeKey:
    """A layer configuration key that holds a width, such as `filters` of a `Conv2D`, or a shape with widths in it.

    Attributes:
        layer: Path of the layer.
        key: The keys that lead to it in the layer's configuration, `("filters",)`.
        entries: What it holds: numbers, `None`, and a tuple of `Run` in the place of each width.
        is_shape: Whether it holds a tuple of the entries, or the only one.
    """

    layer: str
    key: tuple[str, ...]
    entries: tuple
    is_shape: bool

    def value(self, indices):
        """What it holds after an edit, for `{group index: index vector}`."""
        sizes = tuple(
            sum(run.size for run in resize_runs(entry, indices)) if isinstance(entry, tuple) else entry
            for entry in self.entries
        )
        return sizes if self.is_shape else sizes[0]


@dataclasses.dataclass(frozen=True)
class ChannelGroup:
    """A set of widths that change together.

    Attributes:
        name: The path of the first layer that produces the units; stable across edits.
        size: How many units the group has.
        producers: The variable axes whose slices make a unit, a tuple of `VariableAxis`.
        consumers: The variable axes whose slices read a unit, a tuple of `VariableAxis`.
        frozen: `None`, or a sentence: why the group cannot be resized, and what would free it.
        exact: Whether growth by `"split"` leaves every output of the model unchanged.
        index: The group's number, by which `Run.group` refers to it.
        size_keys: The layer configuration keys that hold a width of the group, a tuple of `SizeKey`.
    """

    name: str
    size: int
    producers: tuple[VariableAxis, ...]
    consumers: tuple[VariableAxis, ...]
    frozen: str | None
    exact: bool
    index: int
    size_keys: tuple[SizeKey, ...]

    @property
    def axes(self):
        """All variable axes along which the group's units lie."""
        return self.producers + self.consumers


@without_collection
def find_groups(model):
    """Finds the channel groups of a model.

    The model is read, never changed. Layers that no rule describes freeze the units that reach them; the rest of the
    model stays free.

    Args:
        model: A built functional or Sequential `keras.Model`.

    Returns:
        A tuple of `ChannelGroup`, in the order of the graph.

    Raises:
        ValueError: If the model is not functional or not built.

    Example:

    ```python
    for group in cgap_keras.find_groups(model):
        print(group.name, group.size, group.frozen or "free")
    ```
    """
    return groups_in(model, trace(model))


# `{model: (signature of its graph, its groups)}`. One edit asks for the groups of a model several times: whoever plans
# it, `apply`, and each callback.
_KNOWN = weakref.WeakKeyDictionary()


def groups_in(model, graph):
    """The channel groups of a model, see `find_groups`; those found before if nothing about its graph has changed.

    Args:
        model: The model.
        graph: Its trace, made now.
    """
    signature = _signature(graph)
    known, groups = _KNOWN.get(model, (None, None))
    if signature != known:
        groups = groups_of(graph)
        _KNOWN[model] = signature, groups
    return groups


def _signature(graph):
    """What can change about a model while it lives: shapes, names, weights (as quantizing does), and the rules."""
    calls = [
        (
            call.path,
            id(call.operation),
            [edge.shape for edge in call.outputs],
            # Its own dtype: within an autocast scope Keras tells another.
            [(id(variable), variable.name, shape_of(variable), variable._dtype) for variable in call.weights],
        )
        for call in graph.calls
    ]
    return known_rules(), calls


def groups_of(graph):
    """The channel groups of a traced model, see `find_groups`."""
    tracer, _ = _trace_labels(graph)
    classes = _Classes(tracer)
    drafts = [_Draft(size) for size in classes.sizes]
    for root, reason in tracer.units.reasons().items():
        drafts[classes.group_of[root]].reasons.append(reason)
    paths = {id(variable): path for path, variable in variables_of(graph).items()}
    for bound in tracer.axes.values():
        _add_axis(drafts, bound, paths[id(bound.variable)], classes)
    for (layer, key), template in tracer.sizes.items():
        _add_size(drafts, layer, key, template, classes)
    inexact = {int(classes.group_of[root]) for root in tracer.units.inexact()}
    names = _unique([draft.axes[0].layer for draft in drafts])
    return tuple(draft.finish(names[i], i, i not in inexact) for i, draft in enumerate(drafts))


def units_in_tensors(graph, edges):
    """Which units stand where in some tensors of a traced model.

    Args:
        graph: The `Graph`.
        edges: Some of its edges.

    Returns:
        `{edge key: (shape, runs)}`: the shape of the tensor's labels, which has a 1 for each axis along which nothing
        changes, and the runs of groups along the labels laid out flat, `None` where the units stand in no order.
    """
    tracer, labels = _trace_labels(graph)
    classes = _Classes(tracer)
    return {edge.key: (labels[edge.key].shape, classes.read(labels[edge.key].ravel()).runs) for edge in edges}


def find_variables(model):
    """The variables of a model by the paths under which `VariableAxis` names them.

    Args:
        model: A built functional or Sequential `keras.Model`.

    Returns:
        A dictionary `{path: keras.Variable}`, seed states left out. A shared variable has one path, of the first layer
        that uses it.
    """
    return variables_of(trace(model))


def variables_of(graph):
    """The variables of a traced model by path, see `find_variables`."""
    variables, seen = {}, set()
    for call in graph.calls:
        for variable in call.weights:
            if id(variable) not in seen:
                seen.add(id(variable))
                variables[_free_path(f"{call.path}/{variable.name}", variables)] = variable
    return variables


def _free_path(path, taken):
    """The path, with a number behind it if another variable has it: a layer of several parts names them alike."""
    number = 0
    while (name := f"{path}:{number}" if number else path) in taken:
        number += 1
    return name


def _trace_labels(graph):
    tracer = Tracer()
    labels = label_tensors(graph, [fixed_labels(len(edge.shape)) for edge in graph.inputs], tracer)
    for edge in graph.outputs:
        tracer.units.freeze(labels[edge.key], "it is an output of the model, whose width is the user's.")
    return tracer, labels


@dataclasses.dataclass(frozen=True)
class _Row:
    """The runs along an axis, `None` if its units stand in no order, and how many places each group takes."""

    runs: tuple[Run, ...] | None
    counts: dict[int, int]


class _Classes:
    """The units of a traced model, sorted into groups.

    Two classes of tied units are of one group if they lie along the same variable axes, equally often: then any of them
    can stand in the place of another. Most axes of a network carry the same row of classes as another one, so a row is
    looked at once.
    """

    def __init__(self, tracer):
        # The last entry of each table is that of `FIXED`.
        self._all = np.append(tracer.units.find(np.arange(tracer.units.count)), FIXED)
        self._rows = {}
        rows = {row.tobytes(): row for row in (self._all[bound.labels] for bound in tracer.axes.values())}
        part = np.zeros(tracer.units.count, np.int64)
        first = np.full(tracer.units.count, np.iinfo(np.int64).max)
        offset, parts = 0, 1
        for row in rows.values():
            members, places, counts = np.unique(row[row != FIXED], return_index=True, return_counts=True)
            # Pairs of part and count as one number each: sorting rows is many times slower.
            _, refined = np.unique(part[members] * (len(row) + 1) + counts, return_inverse=True)
            part[members] = parts + refined
            parts += len(members) + 1
            first[members] = np.minimum(first[members], offset + places)
            offset += len(row)
        self._sort(np.unique(self._all[:-1]), part, first)

    def _sort(self, roots, part, first):
        order = roots[np.argsort(first[roots], kind="stable")]
        _, places, inverse = np.unique(part[order], return_index=True, return_inverse=True)
        # Groups in the order in which the graph meets them, and within each the units likewise.
        groups = np.argsort(np.argsort(places))[inverse]
        sizes = np.bincount(groups)
        ranks = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        self.group_of, self.rank_of = np.full(len(part) + 1, FIXED), np.zeros(len(part) + 1, np.int64)
        self.group_of[order] = groups
        self.rank_of[order[np.argsort(groups, kind="stable")]] = ranks
        self.sizes = sizes.tolist()

    def read(self, labels):
        """The row of units with these labels."""
        roots = self._all[labels]
        key = roots.tobytes()
        if key not in self._rows:
            group_of = self.group_of[roots]
            counts = np.bincount(group_of[group_of != FIXED])
            present = {group: int(counts[group]) for group in np.flatnonzero(counts).tolist()}
            self._rows[key] = _Row(parse_runs(group_of, self.rank_of[roots], self.sizes), present)
        return self._rows[key]


class _Draft:
    """A group while its axes are collected."""

    def __init__(self, size):
        self.size = size
        self.axes, self.size_keys, self.reasons = [], [], []

    def finish(self, name, index, exact):
        return ChannelGroup(
            name=name,
            size=self.size,
            producers=tuple(axis for axis in self.axes if axis.role != "consume"),
            consumers=tuple(axis for axis in self.axes if axis.role == "consume"),
            frozen=self.reasons[0] if self.reasons else None,
            exact=exact,
            index=index,
            size_keys=tuple(self.size_keys),
        )


def _add_axis(drafts, bound, path, classes):
    """Enters an axis in the draft of every group that lies along it."""
    row = classes.read(bound.labels)
    axis = VariableAxis(bound.layer, path, bound.axis, bound.role, row.runs or ())
    for group, count in row.counts.items():
        draft = drafts[group]
        draft.axes.append(axis)
        if row.runs is None:
            draft.reasons.append(f"its units do not stand in order along `{path}`, so a new one has no place there.")
        elif draft.size == 1 and count > 1:
            draft.reasons.append(
                f"its one unit stands at several places of `{path}`, which does not tell where a second one "
                "would go; build the layer with two."
            )


def _add_size(drafts, layer, key, template, classes):
    """Enters a configuration key in the draft of every group whose width it holds."""
    is_shape = isinstance(template, tuple)
    entries, groups = [], set()
    for entry in template if is_shape else (template,):
        if entry is not None and not isinstance(entry, int):
            row = classes.read(np.asarray(entry))
            groups.update(row.counts)
            entry = row.runs
            if entry is None:
                for group in groups:
                    drafts[group].reasons.append(f"its units do not stand in order in `{key[-1]}` of `{layer}`.")
        entries.append(entry)
    for group in groups:
        drafts[group].size_keys.append(SizeKey(layer, key, tuple(entries), is_shape))


def _unique(names):
    """Makes names unique by a number behind the repeated ones."""
    seen, result = {}, []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}:{seen[name] - 1}")
    return result
