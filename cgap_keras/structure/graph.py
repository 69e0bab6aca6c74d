"""A functional model as a flat list of calls: the one view of a graph that the library reads.

Keras keeps a functional model as nodes that refer to symbolic tensors, and a nested model as one node with a graph of
its own. `trace` lays both out as one sequence of calls in execution order, so that nobody else has to know how Keras
stores a graph.
"""

import dataclasses
import functools
import inspect
from collections.abc import Hashable

import keras
from keras import tree
from keras.src.models.functional import Functional


@dataclasses.dataclass(frozen=True)
class Edge:
    """A tensor that flows from one call to the next.

    Attributes:
        key: Identifies the tensor within one trace.
        shape: Its shape, the batch axis included; `None` where a size is not known.
        dtype: Its dtype, as a string.
    """

    key: Hashable
    shape: tuple
    dtype: str


@dataclasses.dataclass(frozen=True)
class Call:
    """One operation applied to some tensors.

    Attributes:
        path: The layer's path, `"encoder/conv2d_3"` for a layer of a nested model. A shared layer appears in several
            calls, all with the same path.
        operation: The `keras.Layer` or `keras.Operation` that is called.
        args: The positional arguments of the call, with an `Edge` in the place of each tensor.
        kwargs: The keyword arguments of the call, likewise.
        inputs: The edges among the arguments, in the order in which the operation's `call` lists its parameters.
        outputs: The edges that come out, flat.
    """

    path: str
    operation: keras.Operation
    args: tuple
    kwargs: dict
    inputs: tuple
    outputs: tuple

    @functools.cached_property
    def weights(self):
        """The variables of the operation, seed states left out; none if it is no layer."""
        return tuple(getattr(self.operation, "weights", ()))

    @property
    def arguments(self):
        """The arguments by the names of the parameters that they are given for."""
        return _bind(self.operation, self.args, self.kwargs)


@dataclasses.dataclass(frozen=True)
class Graph:
    """A traced model: what goes in, the calls in execution order, what comes out."""

    inputs: tuple
    calls: tuple
    outputs: tuple


def trace(model, inputs=None, prefix=""):
    """Lays a functional model out as a flat sequence of calls.

    Nested functional and Sequential models are entered; their layers appear in the place of the nested call, with the
    nested model's name in front of their path.

    Args:
        model: A built functional or Sequential `keras.Model`.
        inputs: Edges whose shapes go in, for a model that is called inside another. Defaults to the model's own inputs.
        prefix: What stands in front of every path.

    Returns:
        A `Graph`.

    Raises:
        ValueError: If the model is not functional (a subclass with its own `call`), or is not built yet.

    Example:

    ```python
    for call in trace(model).calls:
        print(call.path, type(call.operation).__name__, [edge.shape for edge in call.outputs])
    ```
    """
    functional = as_functional(model)
    if inputs is None:
        inputs = [_edge(tensor, None) for tensor in functional.inputs]
    inputs = tuple(dataclasses.replace(edge, key=("input", i)) for i, edge in enumerate(inputs))
    calls = []
    outputs = _enter(functional, inputs, prefix, (), calls)
    return Graph(inputs, tuple(calls), tuple(outputs))


def as_functional(model):
    """The functional graph behind a model: the model itself, or the graph that a built Sequential keeps."""
    if isinstance(model, keras.Sequential):
        functional = getattr(model, "_functional", None)
        if functional is None:
            raise ValueError(
                "The Sequential model is not built, so the shapes of its layers are not known. Add a "
                "`keras.Input` as its first "
                f"layer, or call `model.build(input_shape)`. Received: model={model.name!r}"
            )
        return functional
    if not is_functional(model):
        raise ValueError(
            "Only functional and Sequential models have a graph that can be read and edited. Write the model "
            "with the functional API "
            "(`keras.Model(inputs, outputs)`), or hand over the functional model inside it. "
            f"Received: model={getattr(model, 'name', model)!r} of type {type(model).__name__}"
        )
    return model


def is_functional(model):
    """Whether `model` is a functional model: one that runs the graph it was made from."""
    return isinstance(model, Functional) and type(model).call is Functional.call


def is_nested_model(operation):
    """Whether an operation is a model whose layers `trace` lays out in its place."""
    return isinstance(operation, keras.Sequential) or is_functional(operation)


def is_model_over_time(operation):
    """Whether an operation runs a model at every step of a time axis, so that an edit reaches the layers inside."""
    return isinstance(operation, keras.layers.TimeDistributed) and is_nested_model(operation.layer)


def without_time(shape):
    """The shape of one step of a sequence."""
    return (shape[0], *shape[2:])


def ordered_nodes(functional):
    """The nodes of a functional model in the order in which Keras runs them, inputs left out."""
    by_depth = functional._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if node.operation and not node.is_input:
                yield node


def fill_in(node, values):
    """The positional and keyword arguments of a call with other values in the place of its symbolic tensors.

    Args:
        node: A node of a functional model.
        values: `{id(symbolic tensor): value}`.
    """
    args, kwargs = node.arguments.args, node.arguments.kwargs
    if len(args) == 1 and type(args[0]) is keras.KerasTensor and _is_untold(kwargs):
        # Most calls of a network, and an edit walks through it three times.
        return (values[id(args[0])],), dict(kwargs)
    return _fill_in(args, values), _fill_in(kwargs, values)


def _is_untold(kwargs):
    """Whether a call has no keyword arguments, or only such as were given `None`, as Keras does with masks."""
    return all(value is None for value in kwargs.values())


def _fill_in(argument, values):
    # By hand where it is a plain nest: on PyTorch Keras's `tree` takes most of the time of a walk through a graph.
    kind = type(argument)
    if kind is keras.KerasTensor:
        return values[id(argument)]
    if kind in (tuple, list):
        return kind([_fill_in(item, values) for item in argument])
    if kind is dict:
        return {key: _fill_in(item, values) for key, item in argument.items()}
    return tree.map_structure(lambda x: values[id(x)] if isinstance(x, keras.KerasTensor) else x, argument)


def _edge(tensor, key):
    return Edge(key, tuple(tensor.shape), tensor.dtype)


def _enter(functional, inputs, prefix, scope, calls):
    """Appends the calls of one (possibly nested) graph and returns the edges of its outputs."""
    edges = {id(tensor): edge for tensor, edge in zip(functional.inputs, inputs, strict=True)}
    for position, node in enumerate(ordered_nodes(functional)):
        node_inputs = tuple(edges.get(id(tensor)) for tensor in node.input_tensors)
        if any(edge is None for edge in node_inputs):
            continue
        operation, key = node.operation, (*scope, position)
        path = f"{prefix}{operation.name}"
        args, kwargs = fill_in(node, edges)
        if is_nested_model(operation):
            outputs = _enter(as_functional(operation), node_inputs, f"{path}/", key, calls)
        else:
            outputs = _output_edges(node, node_inputs, args, kwargs, key)
            calls.append(Call(path, operation, args, kwargs, _in_order(operation, args, kwargs, node_inputs), outputs))
        edges.update((id(tensor), edge) for tensor, edge in zip(node.outputs, outputs, strict=True))
    return [edges[id(tensor)] for tensor in functional.outputs]


def _in_order(operation, args, kwargs, inputs):
    """Keras keeps tensors given by name in the order of the alphabet."""
    if len(inputs) < 2 or not kwargs:
        return inputs
    return tuple(edges_among(list(_bind(operation, args, kwargs).values())))


def _bind(operation, args, kwargs):
    return inspect.signature(operation.call).bind(*args, **kwargs).arguments


def shape_of(variable):
    """The shape of a `keras.Variable`, a tuple. Asked itself, it makes an object of TensorFlow's for it each time."""
    return variable._shape


def edges_among(arguments):
    """The edges in some nested arguments, in order."""
    return [leaf for leaf in tree.flatten(arguments) if isinstance(leaf, Edge)]


def _output_edges(node, inputs, args, kwargs, key):
    tensors = node.outputs
    if any(tuple(tensor.shape) != edge.shape for tensor, edge in zip(node.input_tensors, inputs, strict=True)):
        # A nested model called on other shapes than the ones it was made with.
        symbolic = tree.map_structure(
            lambda x: keras.KerasTensor(x.shape, x.dtype) if isinstance(x, Edge) else x, (tuple(args), dict(kwargs))
        )
        tensors = tree.flatten(node.operation.compute_output_spec(*symbolic[0], **symbolic[1]))
    return tuple(_edge(tensor, (*key, i)) for i, tensor in enumerate(tensors))
