"""What a criterion looks at: for one layer, all that belongs to the units along an axis, laid side by side."""

import dataclasses
import math

import numpy as np
from keras import ops


@dataclasses.dataclass(frozen=True)
class Slices:
    """What one layer knows of the units that it makes or carries.

    A *position* is a place of a unit along an axis of the layer's variables: a filter of a convolution, a gate of an
    `LSTM`, the pixel of a channel behind `Flatten`. Every array has the shape `(everything else, positions)`, the order
    in which Keras's kernels lie, so that a kernel gets there without being copied. A criterion that needs gradients
    gets tensors, in the compiled step of training; any other one gets NumPy's arrays.

    Attributes:
        layer: Path of the layer; for a criterion that needs `"nothing"`, the name of the group.
        size: How many positions there are.
        weights: `{"kernel": array, "gamma": array}`, the layer's variables along this axis.
        makers: The names of those among them whose slices make the units, or read them: kernels, not biases and scales.
        gradients: The gradients of the loss, under the same names, for a criterion that needs `"gradients"`.
        activations: What the layer reads, for a criterion that needs `"activations"`.
        generator: A `numpy.random.Generator`, for a criterion that needs `"nothing"`.
    """

    layer: str
    size: int
    weights: dict = dataclasses.field(default_factory=dict)
    makers: tuple[str, ...] = ()
    gradients: dict | None = None
    activations: object = None
    generator: np.random.Generator | None = None

    @property
    def kernels(self):
        """The weights that make the units, as a list of arrays."""
        return [self.weights[name] for name in self.makers]

    @property
    def products(self):
        """Each weight times its gradient, as a list of arrays."""
        return [self.weights[name] * gradient for name, gradient in self.gradients.items()]


@dataclasses.dataclass(frozen=True)
class Member:
    """A variable of a layer that has units along an axis."""

    name: str
    variable: object
    axis: int
    makes: bool


@dataclasses.dataclass(frozen=True)
class Row:
    """The variables of one layer along which the same units stand.

    Attributes:
        layer: Path of the layer.
        runs: The groups that lay along its positions when it was found.
        key: The variable axis that has these runs, as `VariableAxis.key`.
        members: A tuple of `Member`, the one of that axis first.
    """

    layer: str
    runs: tuple
    key: tuple
    members: tuple

    @property
    def size(self):
        """How many positions there are, in the model as it is now."""
        return self.members[0].variable.shape[self.members[0].axis]

    def slices(self, read, gradients=None):
        """Lays out what the layer knows.

        Args:
            read: A function of a variable that returns its value.
            gradients: `{id(variable): gradient}`.

        Returns:
            A `Slices`.
        """
        weights = {x.name: lay_out(read(x.variable), x.axis, self.size) for x in self.members}
        heard = None
        if gradients is not None:
            known = [x for x in self.members if id(x.variable) in gradients]
            heard = {x.name: lay_out(gradients[id(x.variable)], x.axis, self.size) for x in known}
        makers = tuple(x.name for x in self.members if x.makes)
        return Slices(self.layer, self.size, weights, makers, heard)


def find_rows(groups, variables, side="producers"):
    """What each layer knows of the units of some groups.

    Args:
        groups: The channel groups.
        variables: `{path: variable}`, the variables to look at.
        side: Whether to look at the layers that make or carry the units, `"producers"`, or at those that read them,
            `"consumers"`.

    Returns:
        A list of `Row`, in the order of the graph.
    """
    layers = {}
    for key, axis in axes_of(groups, side).items():
        if axis.runs and axis.variable in variables:
            layers.setdefault(axis.layer, {})[key] = axis
    return [row for of_layer in layers.values() for row in _rows_of(of_layer.values(), variables)]


def axes_of(groups, side):
    """`{key: axis}`, the variable axes of some groups on one side."""
    return {axis.key: axis for group in groups for axis in getattr(group, side)}


def lay_out(tensor, axis, size):
    """A tensor as `(everything else, positions)`, where `size` positions lie along an axis.

    The axis may be longer: then several of its slices in a row are of one position. An array stays one.
    """
    library = np if isinstance(tensor, np.ndarray) else ops
    if axis != len(tensor.shape) - 1:
        tensor = library.moveaxis(tensor, axis, -1)
    if tensor.shape[-1] != size:
        tensor = library.swapaxes(library.reshape(tensor, (-1, size, tensor.shape[-1] // size)), -1, -2)
    return library.reshape(tensor, (-1, size))


def _rows_of(axes, variables):
    """The rows of one layer. The bias of a depthwise multiplier has several slices for each one of the kernel."""
    rows = []
    for axis in sorted(axes, key=lambda axis: _size(axis.runs)):
        name, variable = axis.variable.removeprefix(f"{axis.layer}/"), variables[axis.variable]
        member = Member(name, variable, axis.axis, axis.role != "carry")
        for number, row in enumerate(rows):
            if _same_units(axis.runs, row.runs) and name not in [x.name for x in row.members]:
                rows[number] = dataclasses.replace(row, members=(*row.members, member))
                break
        else:
            rows.append(Row(axis.layer, axis.runs, axis.key, (member,)))
    return rows


def _same_units(runs, others):
    """Whether the same units lie along two axes, on the first one perhaps each for several slices in a row."""
    factor = _size(runs) / _size(others)
    return [(x.group, x.size) for x in runs] == [(x.group, x.size * factor) for x in others]


def _size(runs):
    return sum(run.size for run in runs)


def flat(array, axes):
    """An array as `(everything else, positions)`, where the positions lie along several axes."""
    others = [axis for axis in range(array.ndim) if axis not in axes]
    return array.transpose((*others, *axes)).reshape(-1, math.prod(array.shape[axis] for axis in axes))
