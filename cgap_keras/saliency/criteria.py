"""How much one weight matters: the criteria, small pure functions of weights and gradients.

The saliency of a unit is a criterion added up over every weight in the slices that make the unit, over everything that
a group ties together.
"""

import dataclasses
from collections.abc import Callable

from keras import ops


@dataclasses.dataclass(frozen=True)
class Criterion:
    """A way to tell how much a weight matters.

    Attributes:
        name: Its name.
        contribution: A function `(weight, gradient)` of two tensors of one shape that returns a tensor of that shape,
            what each weight adds to the saliency of its unit. `gradient` is `None` unless `needs_gradient`.
        needs_gradient: Whether it reads gradients; what it says is then added up over the batches of training.
        kernels_only: Whether it looks at the weights that make a unit alone, and not at biases and normalisations.
    """

    name: str
    contribution: Callable
    needs_gradient: bool = False
    kernels_only: bool = False


def taylor(weight, gradient):
    """`|w * dL/dw|`, the first-order estimate of how the loss changes when the weight is set to zero.

    Source: Molchanov, Mallya, Tyree, Frosio, Kautz, "Importance Estimation for Neural Network Pruning", CVPR 2019,
    equation 8, with the absolute value in the place of the square.
    """
    return ops.abs(weight * gradient)


def l1(weight, gradient):
    """`|w|`. Source: Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017."""
    return ops.abs(weight)


def l2(weight, gradient):
    """`w^2`, whose sum ranks units as their Euclidean norm does.

    Source: He, Kang, Dong, Fu, Yang, "Soft Filter Pruning for Accelerating Deep Convolutional Neural Networks", IJCAI
    2018.
    """
    return ops.square(weight)


CRITERIA = {
    criterion.name: criterion
    for criterion in (
        Criterion("taylor", taylor, needs_gradient=True),
        Criterion("l1", l1, kernels_only=True),
        Criterion("l2", l2, kernels_only=True),
    )
}


def get(criterion):
    """A criterion by its name, or the criterion itself.

    Raises:
        ValueError: If there is none of that name.
    """
    if isinstance(criterion, Criterion):
        return criterion
    if criterion not in CRITERIA:
        raise ValueError(f"`criterion` must be one of {', '.join(CRITERIA)}. Received: criterion={criterion!r}")
    return CRITERIA[criterion]
