"""Saliency gathered during training, from the very gradients that the optimizer applies.

No extra forward or backward pass is made and no data is asked for: every Keras backend hands its gradients to
`optimizer.apply`, so one hook there serves TensorFlow, JAX and PyTorch alike. The running sums are optimizer variables
while the observer is attached, because that is the state which JAX's compiled step carries along.
"""

import functools

import numpy as np
from keras import KerasTensor, Variable, ops

from cgap_keras.distribution import placement, sum_over_devices
from cgap_keras.saliency.scoring import score
from cgap_keras.saliency.slices import axes_of, find_rows
from cgap_keras.structure.groups import find_variables


class GradientObserver:
    """Adds up a criterion over the steps of training.

    Args:
        model: A compiled model.
        groups: The channel groups to score.
        criterion: A `Criterion` that needs gradients.
        seen: What observers of other structures of the model have found out about its layers, a dictionary that is
            added to; for a ResNet-110 it takes a third of a second. Defaults to an empty one.

    Raises:
        ValueError: If the criterion has nothing to look at in a group that is not frozen, because no layer of it is
            trained, say.

    Example:

    ```python
    observer = GradientObserver(model, groups, criteria.get("taylor"))
    observer.attach()  # before the training function is traced
    ...
    scores = observer.scores()
    observer.detach()
    ```
    """

    def __init__(self, model, groups, criterion, seen=None):
        self._model, self._groups, self._criterion = model, groups, criterion
        seen = {} if seen is None else seen
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self._optimizer = _innermost(model.optimizer)
        trained = {id(variable) for variable in model.trainable_variables}
        variables = {path: v for path, v in find_variables(model).items() if id(v) in trained}
        # Layers along which the same units stand have one sum together.
        self._rows = {}
        for row in find_rows(groups, variables, criterion.side):
            key = row.layer, tuple(member.name for member in row.members)
            if key not in seen:
                seen[key] = _symbolic(criterion, row) is not None
            if seen[key]:
                self._rows.setdefault(row.runs, []).append(row)
        criterion.check_found(groups, self._rows)
        self._sums, self._own_variables = None, None
        self._hidden = {}

    def attach(self):
        """Starts to listen. The training function has to be traced after this call.

        Another observer that still listens, because its training was interrupted, is detached.
        """
        abandoned = getattr(vars(self._optimizer).get("apply"), "__self__", None)
        if isinstance(abandoned, GradientObserver):
            abandoned.detach()
        # On each device its own, which all hear the same.
        with placement(self._model):
            self._sums = [
                Variable("zeros", (row.size,), "float32", trainable=False, name=f"saliency_{i}")
                for i, (row, *_) in enumerate(self._rows.values())
            ]
        # Another list in the place of the optimizer's own: TensorFlow tracks that one, and forbids to shorten it.
        self._own_variables = self._optimizer._variables
        vars(self._optimizer)["_variables"] = [*self._own_variables, *self._sums]
        # Under this name `surgery/slots.py` looks for what follows an edit as the optimizer's own slots do.
        vars(self._optimizer)["_added_slots"] = [
            (row.members[0].variable, total, (row.members[0].axis,))
            for (row, *_), total in zip(self._rows.values(), self._sums, strict=True)
        ]
        self._hide("apply", self._apply)
        self._hide("save_own_variables", self._without_sums(self._optimizer.save_own_variables))
        self._hide("load_own_variables", self._without_sums(self._optimizer.load_own_variables))

    def detach(self):
        """Stops listening and leaves the optimizer as it was. The training function has to be traced again."""
        for name in self._hidden:
            del vars(self._optimizer)[name]
        self._hidden = {}
        del vars(self._optimizer)["_added_slots"]
        vars(self._optimizer)["_variables"] = self._own_variables
        self._sums, self._own_variables = None, None

    @property
    def sums(self):
        """The variables that hold the running sums, which the optimizer carries while the observer is attached."""
        return self._sums or []

    def scores(self, groups=None):
        """The saliency of each unit so far, `{group name: float array}`.

        Args:
            groups: The model's channel groups as they are now. Defaults to those that the observer was made with, which
                they are unless the model has been edited since.
        """
        groups = groups or self._groups
        runs = {key: axis.runs for key, axis in axes_of(groups, self._criterion.side).items()}
        sums = [np.asarray(ops.convert_to_numpy(variable.value)) for variable in self._sums]
        pairs = [(row.key, x) for (row, *_), x in zip(self._rows.values(), sums, strict=True)]
        return score(groups, [(runs[key], x) for key, x in pairs if key in runs])

    def _hide(self, name, replacement):
        self._hidden[name] = getattr(self._optimizer, name)
        vars(self._optimizer)[name] = replacement

    def _apply(self, gradients, trainable_variables=None):
        gradients = list(gradients)
        variables = self._optimizer._trainable_variables if trainable_variables is None else list(trainable_variables)
        scored = {id(x.variable) for rows in self._rows.values() for row in rows for x in row.members}
        pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None and id(v) in scored]
        by_variable = {id(v): _read(gradient) for gradient, v in sum_over_devices(self._optimizer, pairs)}
        for rows, total in zip(self._rows.values(), self._sums, strict=True):
            # The sizes differ where training was interrupted, and the model edited since: nobody asks for these sums.
            if tuple(total.shape) == (rows[0].size,):
                heard = [x for row in rows if (x := self._hear(row, by_variable)) is not None]
                if heard:
                    total.assign_add(functools.reduce(ops.add, heard))
        return self._hidden["apply"](gradients, trainable_variables)

    def _hear(self, row, gradients):
        """What the criterion says of one layer, if it has gradients in this step."""
        is_heard = any(id(member.variable) in gradients for member in row.members)
        return ops.cast(self._criterion(row.slices(_read, gradients)), "float32") if is_heard else None

    def _without_sums(self, method):
        """A method that sees the optimizer's own variables alone, so that a checkpoint fits an optimizer without us."""

        def call(store):
            everything = self._optimizer._variables
            vars(self._optimizer)["_variables"] = self._own_variables
            try:
                return method(store)
            finally:
                vars(self._optimizer)["_variables"] = everything

        return call


def _read(value):
    return ops.cast(ops.convert_to_tensor(value), "float32")


def _symbolic(criterion, row):
    """What the criterion makes of the shapes of a layer: whether it looks at it is known before training."""
    symbols = {id(x.variable): KerasTensor(x.variable.shape, "float32") for x in row.members}
    return criterion(row.slices(lambda variable: symbols[id(variable)], symbols))


def _innermost(optimizer):
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer
