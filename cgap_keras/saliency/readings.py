"""What the layers of a model read of the units of some groups, on data that is run through the model."""

import dataclasses

import keras
from keras import ops, tree

from cgap_keras.saliency.slices import Slices, flat
from cgap_keras.structure.graph import Edge, as_functional, trace
from cgap_keras.structure.groups import units_in_tensors


@dataclasses.dataclass(frozen=True)
class Reading:
    """A tensor with units that a layer reads through weights of its own.

    Attributes:
        layer: Path of the layer.
        edge: The tensor.
        axes: The axes along which its units change.
        runs: The groups along these axes, laid out flat.
    """

    layer: str
    edge: Edge
    axes: tuple
    runs: tuple

    def slices(self, tensors):
        """What a layer has read: `tensors` holds those of a run, `{edge key: tensor}`."""
        activations = flat(ops.convert_to_numpy(tensors[self.edge.key]), self.axes)
        return Slices(self.layer, activations.shape[-1], activations=activations)


def score_readings(model, groups, criterion):
    """What a criterion says of all that the layers read of some groups, the mean over its data.

    Nothing of the model changes: whatever a layer would assign in the run is forgotten.

    Args:
        model: A built functional or Sequential model.
        groups: The channel groups.
        criterion: A `Criterion` that needs activations.

    Returns:
        A list of `(runs, array)` pairs.

    Raises:
        ValueError: If no layer reads a group, or the data does not fit the model.
    """
    graph = trace(model)
    readings = _find_readings(graph, groups)
    criterion.check_found(groups, [reading.runs for reading in readings])
    inputs = _inputs_of(model, criterion.data)
    totals = {}
    for start in range(0, len(inputs[0]), criterion.batch_size):
        batch = [x[start : start + criterion.batch_size] for x in inputs]
        tensors = _run(graph, batch)
        for reading in readings:
            values = criterion(reading.slices(tensors))
            if values is not None:
                share = len(batch[0]) / len(inputs[0])
                totals[reading] = totals.get(reading, 0.0) + share * ops.convert_to_numpy(values)
    return [(reading.runs, values) for reading, values in totals.items()]


def _find_readings(graph, groups):
    """The readings of a traced model, a tensor once for each layer."""
    read = {}
    for group in groups:
        for axis in group.consumers:
            read.setdefault(axis.layer, set()).add(group.index)
    pairs = {(call.path, edge.key): edge for call in graph.calls if call.path in read for edge in call.inputs}
    units, readings = units_in_tensors(graph, pairs.values()), []
    for (layer, key), edge in pairs.items():
        shape, runs = units[key]
        if runs and read[layer] & {run.group for run in runs}:
            # A single unit may stand alone in the tensor: then its labels change along no axis.
            axes = tuple(axis for axis, size in enumerate(shape) if size > 1)
            readings.append(Reading(layer, edge, axes, runs))
    return readings


def _inputs_of(model, data):
    """The arrays of some data in the order of the model's inputs."""
    names = [tensor.name for tensor in as_functional(model).inputs]
    if isinstance(data, dict):
        arrays = [data[name] for name in names if name in data]
    else:
        arrays = list(data) if isinstance(data, (list, tuple)) else [data]
    if len(arrays) != len(names) or len({len(x) for x in arrays}) != 1 or not len(arrays[0]):
        raise ValueError(
            f"`data` must hold an array for each of the model's inputs {names}, all of as many examples, at least one. "
            f"Received: data with the shapes {[getattr(x, 'shape', None) for x in arrays]}"
        )
    return arrays


def _run(graph, inputs):
    """Runs a traced model in inference, call by call.

    Args:
        graph: A `Graph`.
        inputs: An array for each of its inputs.

    Returns:
        `{edge key: tensor}`, every tensor of the graph.
    """
    tensors = {
        edge.key: ops.convert_to_tensor(x, dtype=edge.dtype) for edge, x in zip(graph.inputs, inputs, strict=True)
    }
    with keras.StatelessScope():
        for call in graph.calls:
            args, kwargs = tree.map_structure(
                lambda x: tensors[x.key] if isinstance(x, Edge) else x, (call.args, call.kwargs)
            )
            if "training" in getattr(call.operation, "_call_context_args", ()):
                kwargs.setdefault("training", False)
            outputs = tree.flatten(call.operation(*args, **kwargs))
            tensors.update((edge.key, x) for edge, x in zip(call.outputs, outputs, strict=True))
    return tensors
