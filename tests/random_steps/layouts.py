"""Layers and operations that lay elements out anew, or leave some out."""

import math

from keras import layers, ops

from tests.random_steps.bench import LARGEST, LONGEST, step


@step
def flatten(x, other, pick):
    return layers.Flatten()(x) if len(x.shape) > 2 and math.prod(x.shape[1:]) <= LARGEST else None


@step
def reshape(x, other, pick):
    shape, width = tuple(x.shape[1:]), x.shape[-1]
    targets = [(-1, width)] if len(shape) > 2 else []
    targets += [(*shape[:-1], n, width // n) for n in (2, 3) if width % n == 0 and width > n and len(shape) < 3]
    targets += [(1, *shape)] if len(shape) < 3 else []
    targets += [(*shape[:-2], shape[-2] * width)] if len(shape) > 1 and shape[-2] * width <= LARGEST else []
    target = pick(*targets)
    return layers.Reshape(target)(x) if pick(True, False) else ops.reshape(x, (-1, *_known(target, shape)))


def _known(target, shape):
    known = math.prod(size for size in target if size != -1)
    return tuple(math.prod(shape) // known if size == -1 else size for size in target)


@step
def permute(x, other, pick):
    axes = list(range(1, len(x.shape)))
    if len(axes) < 2:
        return None
    order = pick([*axes[:-2], axes[-1], axes[-2]], axes[::-1], [*axes[1:], axes[0]])
    kind = pick("layer", "transpose", "moveaxis")
    if kind == "moveaxis":
        return ops.moveaxis(x, -1, 1)
    return layers.Permute(order)(x) if kind == "layer" else ops.transpose(x, [0, *order])


@step
def repeat(x, other, pick):
    return layers.RepeatVector(pick(3, 2))(x) if len(x.shape) == 2 else None


@step
def shuffle(x, other, pick):
    """A channel shuffle."""
    width, places = x.shape[-1], x.shape[1:-1]
    blocks = [n for n in (2, 3) if width % n == 0]
    if not 3 <= len(x.shape) <= 4 or not blocks:
        return None
    n, axes = pick(*blocks), range(1, len(places) + 1)
    x = layers.Reshape((*places, n, width // n))(x)
    x = layers.Permute((*axes, len(places) + 2, len(places) + 1))(x)
    return layers.Reshape((*places, width))(x)


@step
def arithmetic(x, other, pick):
    return pick(
        lambda: x * 2.0 + 1.0, lambda: 1.0 - x, lambda: ops.tanh(x) / 3.0, lambda: ops.square(x), lambda: ops.relu(-x)
    )()


@step
def split(x, other, pick):
    parts = [n for n in (2, 3) if x.shape[-1] % n == 0]
    return list(ops.split(x, pick(*parts), axis=-1)) if parts else None


@step
def cut(x, other, pick):
    """Slices, along the places or the channels."""
    if x.shape[1] == 1:
        return None
    width = x.shape[-1]
    options = [lambda: x[:, 1:], lambda: x[..., 0:1], lambda: x[..., : width // 2 or 1]]
    if len(x.shape) > 2:
        options += [lambda: x[:, 0], lambda: x[:, ::2], lambda: x[:, None, 1]]
    return pick(*options)()


@step
def reduce(x, other, pick):
    axis = pick(1, -1)
    if len(x.shape) == 2:
        return None
    return pick(ops.mean, ops.sum, ops.max)(x, axis=axis, keepdims=pick(False, True) or len(x.shape) == 2)


@step
def unit_axes(x, other, pick):
    """Axes of size 1 that come and go."""
    ones = [axis for axis in range(1, len(x.shape)) if x.shape[axis] == 1]
    if ones and len(x.shape) > 2:
        return ops.squeeze(x, pick(*ones))
    return ops.expand_dims(x, pick(1, -1)) if len(x.shape) < 4 else None


@step
def pad(x, other, pick):
    if len(x.shape) == 2 or max(x.shape[1:-1]) >= LONGEST:
        return None
    return ops.pad(x, [[0, 0], [1, pick(0, 1)], *[[0, 0]] * (len(x.shape) - 2)])
