"""Collects the rows of a workload while a graph is read: what is fused, what is free, what runs on the host."""

import dataclasses

from tflite_export.fpga.loops.geometry import NO_ZEROS, plane, streamed
from tflite_export.fpga.loops.layer import Layer


class Refusal(ValueError):
    """Why an operation, of a kind that otherwise runs, does not run on the accelerator."""


class Builder:
    """The rows read so far, and for each tensor where it comes from.

    Args:
        inputs: The keys of the model's input tensors.
        shapes: Dict from tensor key to shape, batch axis included; it may grow while the graph is read.
        uses: Dict from tensor key to how many operations read it, the model's outputs counted as one each.
    """

    def __init__(self, inputs, shapes, uses):
        self.rows = []
        self.refused = []
        self.shapes = shapes
        self._uses = uses
        # Tensor to (tensor that lies in memory, zeros around it), where the two are not the same.
        self._origin = {}
        # Tensor to the index of the row that writes it, as long as nothing else reads what lies between.
        self._row = {}
        self._prepared = set(inputs)
        self._host = set()

    def is_input(self, key):
        """Whether a tensor is an input of the accelerator: the model's own, or what the host made of it."""
        return key in self._prepared

    def is_on_host(self, key):
        """Whether a tensor is computed by the host after the accelerator is done."""
        return key in self._host

    def alias(self, source, target, zeros=NO_ZEROS):
        """Takes `target` to be the elements of `source` in another shape, or with zeros around them."""
        origin, before = self._origin.get(source, (source, NO_ZEROS))
        total = tuple((a[0] + b[0], a[1] + b[1]) for a, b in zip(before, zeros, strict=True))
        if total != NO_ZEROS:
            self._origin[target] = (origin, total)
        elif source in self._prepared:
            self._prepared.add(target)
        elif self._sole(source) is not None:
            self._row[target] = self._row[source]

    def stay_on_host(self, targets):
        """Takes tensors to be computed by the host, after the accelerator."""
        self._host.update(targets)

    def finish_on_host(self, name, target):
        """Adds a row for an operation that the host does at the end."""
        self.rows.append(Layer(name, "host"))
        self._host.add(target)

    def prepare_on_host(self, name, target):
        """Adds a row for an operation that the host does to the data at the start."""
        self.rows.append(Layer(name, "host"))
        self._prepared.add(target)

    def pointwise(self, name, source, target, parameters=0):
        """Adds an operation on single elements: to the row before it, or as a row of its own.

        Args:
            name: Its name.
            source: The tensor that it reads.
            target: The tensor that it writes.
            parameters: How many parameters scale and shift the elements. A convolution takes the scale into its kernel
                and the shift into its bias.
        """
        index = self._sole(source)
        if index is None:
            shapes, _ = self.sources(name, [source])
            self.append((streamed(name, "elementwise", self.shapes[target], shapes, biases=parameters),), target)
            return
        row = self.rows[index]
        folded = max(row.biases, row.n_of) if parameters else row.biases
        biases = folded if row.macs else row.biases + parameters
        self.rows[index] = dataclasses.replace(row, fused=(*row.fused, name), biases=biases)
        self._row[target] = index

    def sources(self, name, inputs, window=False):
        """The shapes that an operation reads from memory, and the zeros that it supplies itself.

        Args:
            name: Its name.
            inputs: The tensors that it reads.
            window: Whether it slides a window, and so can supply zeros; otherwise padded inputs are written out first.

        Returns:
            `(shapes, zeros)`.
        """
        if window:
            origin, zeros = self._origin.get(inputs[0], (inputs[0], NO_ZEROS))
            return [self.shapes[origin]], zeros
        for key in inputs:
            if key in self._origin:
                self._write_padded(name, key)
        return [self.shapes[key] for key in inputs], NO_ZEROS

    def append(self, rows, target):
        """Adds the rows of an operation; later pointwise operations may join the last."""
        self.rows.extend(rows)
        if rows[-1].kind != "concat":
            self._row[target] = len(self.rows) - 1

    def refuse(self, name, kind, reason=None):
        """Notes an operation that the accelerator does not run."""
        self.refused.append(f"{name!r} ({kind}{': ' + reason if reason else ''})")

    def finish(self, model):
        """The rows.

        Args:
            model: What the model is called, for the error.

        Returns:
            A tuple of `Layer`.

        Raises:
            ValueError: If operations were refused; all are named.
        """
        if self.refused:
            raise ValueError(
                f"The accelerator does not run these operations: {'; '.join(self.refused)}. Replace them, or estimate "
                f"the part of the network without them. Received: model={model!r}"
            )
        return tuple(self.rows)

    def _sole(self, key):
        return self._row.get(key) if self._uses[key] == 1 else None

    def _write_padded(self, name, key):
        origin, _ = self._origin.pop(key)
        row = streamed(f"{name}/padding", "upsample", self.shapes[key], [self.shapes[origin]])
        n_ix, n_iy, _ = plane(self.shapes[origin])
        self.rows.append(dataclasses.replace(row, n_ix=n_ix, n_iy=n_iy))
