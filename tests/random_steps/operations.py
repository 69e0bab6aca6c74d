"""Operations of `keras.ops` that models call between layers."""

import math

from keras import layers, ops

from tests.random_steps.bench import LARGEST, LONGEST, WIDEST, WIDTHS, at_rank, fit, step, step_of_two, vector_of


@step
def rearrange(x, other, pick):
    """The same elements in another order, or some of them."""
    options = [lambda: ops.flip(x, axis=-1), lambda: ops.flip(x, axis=1), lambda: ops.swapaxes(x, 1, -1)]
    if len(x.shape) > 2:
        options += [lambda: ops.roll(x, 1, axis=1), lambda: ops.take(x, [0, x.shape[1] - 1], axis=1)]
        options += [lambda: ops.unstack(x, axis=1)[0], lambda: ops.take(x, 0, axis=1)]
    return pick(*options)()


@step
def copies(x, other, pick):
    """The same elements several times, as blocks or in a row."""
    ones = [1] * (len(x.shape) - 2)
    options = []
    if 2 * x.shape[-1] <= WIDEST:
        options += [lambda: ops.tile(x, [1, *ones, 2]), lambda: ops.repeat(x, 2, axis=-1)]
    if len(x.shape) > 2 and 2 * x.shape[1] <= LONGEST:
        options += [lambda: ops.tile(x, [1, 2, *ones]), lambda: ops.repeat(x, 2, axis=1)]
    return pick(*options)() if options else None


@step_of_two
def choose(x, other, pick):
    """Elements of the one or of the other, or within limits."""
    y = fit(other, x.shape)
    return pick(
        lambda: ops.where(x > 0.0, x, y),
        lambda: ops.where(y > x, 0.0, x),
        lambda: ops.where(vector_of(x)[:, :1] > 0.0, vector_of(x), vector_of(y)),
        lambda: ops.clip(x, -1.0, 1.0),
    )()


@step
def gate(x, other, pick):
    """One half multiplied by a function of the other."""
    if x.shape[-1] % 2:
        return None
    if pick(True, False):
        return ops.glu(x, axis=-1)
    left, right = ops.split(x, 2, axis=-1)
    return left * pick(ops.sigmoid, ops.gelu, ops.silu)(right)


@step_of_two
def contract(x, other, pick):
    """Sums of products over the channels, or over the places."""
    x = at_rank(x, 3)
    y = layers.Dense(x.shape[-1])(at_rank(other, 3))
    if x.shape[1] * y.shape[1] > LARGEST:
        return None
    z = fit(y, (None, x.shape[1], pick(*WIDTHS)))
    return pick(
        lambda: ops.einsum("bic,bjc->bij", x, y),
        lambda: ops.einsum("bic,bid->bcd", x, z),
        lambda: ops.einsum("bic,bjc->bcij", x, y),
        lambda: ops.matmul(ops.transpose(x, (0, 2, 1)), z),
    )()


@step
def statistics(x, other, pick):
    """What stands along an axis as one number, or seen beside the others."""
    axis = 1 if len(x.shape) > 2 else -1
    return pick(
        lambda: x - ops.mean(x, axis=axis, keepdims=True),
        lambda: ops.std(x, axis=axis, keepdims=True) + x,
        lambda: ops.cumsum(x, axis=axis) / x.shape[axis],
        lambda: ops.normalize(x, axis=axis),
        lambda: ops.max(x, axis=axis, keepdims=True) + x,
        lambda: ops.softmax(x, axis=axis),
    )()


@step
def depth_and_space(x, other, pick):
    """Channels as places, and back."""
    if len(x.shape) == 4:
        if pick(True, False) and x.shape[-1] % 4 == 0 and 2 * max(x.shape[1:-1]) <= LONGEST:
            return ops.depth_to_space(x, 2)
        if not any(size % 2 for size in x.shape[1:-1]) and math.prod(x.shape[1:]) <= LARGEST:
            return ops.space_to_depth(x, 2) if 4 * x.shape[-1] <= WIDEST else None
    return None
