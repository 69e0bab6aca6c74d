"""A criterion: what a layer shows of its units, and the function that makes a number of it for each."""

import dataclasses
from collections.abc import Callable

from cgap_keras.saliency import functions

# What a criterion may need, and what a group has to have for it.
_NEEDS = {
    "weights": "weights that make the units",
    "gradients": "a layer that is trained (`trainable=True`)",
    "activations": "a layer with weights that reads the units",
    "nothing": "nothing",
}


@dataclasses.dataclass(frozen=True)
class Criterion:
    """A way to tell how much each unit matters.

    The saliency of a unit is what the function says of its positions, added up over all layers that make or carry it.
    So a function that is a sum over weights adds up over all weights of the unit, and one that is not, such as the
    absolute value of a sum, sees the variables of one layer together. docs/criteria.md tells of the built-in ones.

    Args:
        name: Its name.
        function: A pure function of a `cgap_keras.saliency.Slices` that returns one number for each position, an array
            of shape `(positions,)`, or `None` if it finds nothing to look at in this layer. Written with `keras.ops`
            if it needs gradients.
        needs: `"weights"`: it is called at each edit. `"gradients"`: it is called in each step of training, and what it
            says is added up over the steps. `"activations"`: it is called at each edit, for each batch of `data` and
            each tensor of the units that a layer with weights reads; the mean over the batches is taken. `"nothing"`:
            it is called at each edit, once a group. Defaults to `"weights"`.
        requires: What a group has to have, for the message if it has none. Defaults to what `needs` implies.
        side: Whether it looks at the layers that make or carry the units, `"producers"`, or at those that read them,
            `"consumers"`. Defaults to `"producers"`.
        data: What the model is run on for `"activations"`: an array, or a list or dictionary of arrays.
        batch_size: How many of its examples are run at once. Defaults to 32.

    Raises:
        ValueError: If `needs` or `side` is none of these, or `needs` is `"activations"` without `data`.

    Example:

    ```python
    def slope(slices):  # of batch normalisations, by what training says of it
        gradients = slices.gradients.get("gamma")
        return None if gradients is None else keras.ops.abs(gradients[0])


    criterion = cgap_keras.Criterion("slope", slope, needs="gradients", requires="a normalisation with a scale")
    cgap_keras.CGaP(capacity=60_000, target=20_000, criterion=criterion)
    ```
    """

    name: str
    function: Callable
    needs: str = "weights"
    requires: str = ""
    side: str = "producers"
    data: object = dataclasses.field(default=None, repr=False, compare=False)
    batch_size: int = 32

    def __post_init__(self):
        if self.needs not in _NEEDS:
            raise ValueError(f"`needs` must be one of {', '.join(_NEEDS)}. Received: needs={self.needs!r}")
        if self.side not in ("producers", "consumers"):
            raise ValueError(f"`side` must be one of producers, consumers. Received: side={self.side!r}")
        if (self.data is not None) != (self.needs == "activations"):
            raise ValueError(
                "`data` must be given for a criterion that needs activations, and for no other. "
                f"Received: needs={self.needs!r}, data={type(self.data).__name__}"
            )

    def __call__(self, slices):
        """What the function says of one layer, checked: a tensor of shape `(positions,)`, or `None`."""
        values = self.function(slices)
        if values is not None and tuple(values.shape) != (slices.size,):
            raise ValueError(
                f"The function of the criterion {self.name!r} must return one number for each position, of shape "
                f"({slices.size},) for {slices.layer!r}. Received: shape={tuple(values.shape)}"
            )
        return values

    def check_found(self, groups, found):
        """Refuses groups in which the criterion has nothing to look at.

        Args:
            groups: Channel groups; those that are frozen do not count.
            found: The runs along all that it looks at, a sequence of tuples of `Run`.

        Raises:
            ValueError: If there is nothing in a group, with the names of all such groups.
        """
        known = {run.group for runs in found for run in runs}
        without = [group.name for group in groups if not group.frozen and group.index not in known]
        if without:
            raise ValueError(
                f"The criterion {self.name!r} requires {self.requires or _NEEDS[self.needs]}, and these groups have "
                f"none: {', '.join(without)}. Add one to each, or use another criterion, such as {_next_to(self)!r}. "
                f"Received: criterion={self.name!r}"
            )


_BUILT_IN = (
    Criterion("taylor", functions.taylor, needs="gradients"),
    Criterion("taylor_activation", functions.taylor_activation, needs="gradients"),
    Criterion("fisher", functions.fisher, needs="gradients"),
    Criterion("gradmax", functions.gradmax, needs="gradients", side="consumers"),
    Criterion("l1", functions.l1),
    Criterion("l2", functions.l2),
    Criterion("fpgm", functions.fpgm),
    Criterion("bn_scale", functions.bn_scale, requires="a batch normalisation with a scale (`gamma`)"),
    Criterion("random", functions.random, needs="nothing"),
)
CRITERIA = {criterion.name: criterion for criterion in _BUILT_IN}


def apoz(data, batch_size=32):
    """Makes the criterion of how often a unit is not zero: one minus the average percentage of zeros (APoZ).

    The data is run through the model in inference at each edit. What counts is what the next layers with weights read,
    behind activations, pooling and sums; where nothing cuts to zero, every unit has the share 1. It ranks the units of
    a layer, and says little of layers beside each other.

    Args:
        data: An array, or a list or dictionary of arrays if the model has several inputs. A few hundred examples do.
        batch_size: How many examples are run at once. Defaults to 32.

    Returns:
        A `Criterion`.

    Example:

    ```python
    cgap = cgap_keras.CGaP(60_000, 20_000, criterion=cgap_keras.saliency.apoz(x_train[:512]))
    ```
    """
    return Criterion("apoz", functions.share_of_non_zeros, "activations", data=data, batch_size=batch_size)


def register_criterion(criterion):
    """Makes a criterion known by its name, so that it can be given as text wherever one is taken.

    Args:
        criterion: A `Criterion`. One of the same name that was registered before is replaced.

    Returns:
        The criterion.

    Raises:
        TypeError: If it is no `Criterion`.
        ValueError: If its name is that of a built-in criterion.

    Example:

    ```python
    def largest(slices):
        return keras.ops.max(keras.ops.abs(slices.kernels[0]), axis=0) if slices.kernels else None


    cgap_keras.register_criterion(cgap_keras.Criterion("largest", largest))
    cgap_keras.CGaP(capacity=60_000, target=20_000, criterion="largest")
    ```
    """
    if not isinstance(criterion, Criterion):
        raise TypeError(f"`criterion` must be a `cgap_keras.Criterion`. Received: criterion={criterion!r}")
    if criterion.name in (built_in.name for built_in in _BUILT_IN):
        raise ValueError(f"`name` must not be that of a built-in criterion. Received: name={criterion.name!r}")
    CRITERIA[criterion.name] = criterion
    return criterion


def get(criterion):
    """A criterion by its name, or the criterion itself.

    Raises:
        ValueError: If there is none of that name.
    """
    if isinstance(criterion, Criterion):
        return criterion
    if criterion not in CRITERIA:
        raise ValueError(
            f"`criterion` must be one of {', '.join(CRITERIA)}, `cgap_keras.saliency.apoz(data)`, or a "
            f"`cgap_keras.Criterion` of your own. Received: criterion={criterion!r}"
        )
    return CRITERIA[criterion]


def _next_to(criterion):
    """The name of a criterion that is worth trying instead."""
    return "l1" if criterion.needs == "gradients" else "taylor"
