"""The functions of the built-in criteria: from what a layer shows of its units to a number for each position.

Those of gradients are part of the compiled step of training, and written with `keras.ops`. The others are written with
NumPy, because JAX would compile each of their operations for every new width.
"""

import numpy as np
from keras import ops


def taylor(slices):
    """`sum |w * dL/dw|`: by how much the loss changes, to first order, when weights are set to zero one at a time.

    Source: Molchanov, Mallya, Tyree, Frosio, Kautz, "Importance Estimation for Neural Network Pruning", CVPR 2019,
    equation 8, with the absolute value in the place of the square.
    """
    return sum(ops.sum(ops.abs(product), axis=0) for product in slices.products)


def taylor_activation(slices):
    """`|sum w * dL/dw|`: by how much the loss changes, to first order, when the activations `a` are set to zero.

    That is `|sum a * dL/da|` over the examples of a batch and the places of an image, without an activation taken. What
    a layer makes of its weights, `z`, is linear in them (bias, or scale and offset of a normalisation, included), so
    that `sum w * dL/dw = sum z * dL/dz` (Euler). Behind an activation function with `f(c z) = c f(z)` for all positive
    `c`, which are the linear one, ReLU and leaky ReLU, that is `sum a * dL/da`; behind any other it is the estimate for
    `z`. In front of a batch normalisation it is zero (but for its epsilon), since the loss does not change with the
    scale there: what counts is the normalisation's own. A shared layer counts with all its calls at once, and the
    penalty of a weight regularizer with the loss.

    Source: Molchanov, Tyree, Karras, Aila, Kautz, "Pruning Convolutional Neural Networks for Resource Efficient
    Inference", ICLR 2017, equation 8, with the absolute value taken of a batch and not of an example.
    """
    return ops.abs(_change(slices))


def fisher(slices):
    """`(sum w * dL/dw)^2`: by how much the loss changes, to second order, when the activations are set to zero.

    The curvature is the Fisher information, the mean square of what `taylor_activation` takes. That is sound for a loss
    that is a negative log-likelihood (cross-entropies, the mean squared error) of a network that has nearly converged:
    its gradients are then noise around zero, and the noise of a batch is that of an example over the batch's size, the
    same for all units. Earlier, the square of the mean gradient comes on top of it.

    Source: Theis, Korshunova, Tejani, Huszár, "Faster gaze prediction with dense networks and Fisher pruning", 2018
    (arXiv 1801.05787), equation 12; Molchanov et al., CVPR 2019 (see `taylor`), equation 8 for a whole filter.
    """
    return ops.square(_change(slices))


def gradmax(slices):
    """`sum (dL/dv)^2` over the weights `v` that read a unit: how fast a copy of it would lower the loss.

    For growth with `new_units="zero"`: a new unit begins with its parent's incoming weights and with outgoing weights
    of zero, so that the loss does not change, and these receive the gradients that the parent's receive. The loss then
    falls by the rate times their square, to first order. Source: Evci, van Merriënboer, Unterthiner, Vladymyrov,
    Pedregosa, "GradMax: Growing Neural Networks using Gradient Information", ICLR 2022, which starts new units where
    that square is largest; here the best of the units that are there is taken, which needs no data beside that of
    training.
    """
    return sum(ops.sum(ops.square(gradient), axis=0) for gradient in slices.gradients.values())


def l1(slices):
    """`sum |w|` over the kernels that make a unit.

    Source: Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017.
    """
    return sum(np.sum(np.abs(kernel), axis=0) for kernel in slices.kernels) if slices.kernels else None


def l2(slices):
    """`sum w^2` over the kernels that make a unit, which ranks the units of a layer as their Euclidean norm does.

    Source: He, Kang, Dong, Fu, Yang, "Soft Filter Pruning for Accelerating Deep Convolutional Neural Networks", IJCAI
    2018.
    """
    return sum(np.sum(np.square(kernel), axis=0) for kernel in slices.kernels) if slices.kernels else None


def bn_scale(slices):
    """`|gamma|` of the batch normalisations of a unit, which scale it.

    It tells what matters where training has an L1 penalty on gamma, as the source has it, or weight decay.

    Source: Liu, Li, Shen, Huang, Yan, Zhang, "Learning Efficient Convolutional Networks through Network Slimming", ICCV
    2017.
    """
    is_normalization = {"gamma", "moving_variance"} <= set(slices.weights)
    return np.sum(np.abs(slices.weights["gamma"]), axis=0) if is_normalization else None


def fpgm(slices):
    """The sum of the Euclidean distances to all other kernels of the layer: small near their geometric median.

    A unit near the median is one that the others can stand in for. Source: He, Liu, Wang, Hu, Yang, "Filter Pruning via
    Geometric Median for Deep Neural Networks Acceleration", CVPR 2019, equation 6.
    """
    if not slices.kernels:
        return None
    kernel = np.concatenate(slices.kernels, axis=0).astype(float)
    # Of the centred kernels, whose products lose fewer digits.
    kernel -= kernel.mean(axis=1, keepdims=True)
    squares = np.sum(np.square(kernel), axis=0)
    distances = squares[:, None] + squares[None, :] - 2 * kernel.T @ kernel
    return np.sum(np.sqrt(np.maximum(distances, 0)), axis=0)


def random(slices):
    """A number drawn evenly from [0, 1) for each unit: what any other criterion has to beat."""
    return slices.generator.random(slices.size)


def share_of_non_zeros(slices):
    """The share of activations that are not zero: one minus the average percentage of zeros (APoZ).

    Source: Hu, Peng, Tai, Tang, "Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep
    Architectures", 2016 (arXiv 1607.03250), equation 1.
    """
    return np.mean(slices.activations != 0, axis=0)


def _change(slices):
    """`sum w * dL/dw` over all weights of a position."""
    return sum(ops.sum(product, axis=0) for product in slices.products)
