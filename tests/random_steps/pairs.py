"""Operations of two tensors."""

from keras import layers, ops

from tests.random_steps.bench import LONGEST, WIDEST, fit, step, step_of_two, vector_of


@step_of_two
def merge(x, other, pick):
    kinds = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
    kind, operands = getattr(layers, pick(*kinds)), [x, fit(other, x.shape)]
    if pick(True, False) or kind is layers.Subtract:
        return kind()(operands)
    return kind()([*operands[::-1], layers.Dense(x.shape[-1])(x)])


@step_of_two
def calculate(x, other, pick):
    kind = pick(ops.add, ops.multiply, ops.subtract, ops.maximum, ops.minimum)
    return kind(x, fit(other, x.shape))


@step_of_two
def scale_channels(x, other, pick):
    """A number for each channel, for all places: squeeze and excite."""
    scale = vector_of(other)
    if pick(True, False):
        scale = layers.Dense(pick(2, 3), activation="relu")(scale)
    scale = layers.Dense(x.shape[-1], activation=pick("sigmoid", "tanh"))(scale)
    if len(x.shape) > 2 and pick(True, False):
        scale = layers.Reshape((*[1] * (len(x.shape) - 2), x.shape[-1]))(scale)
    return layers.Multiply()([x, scale]) if pick(True, False) or len(scale.shape) < len(x.shape) else x * scale


@step
def scale_places(x, other, pick):
    """A number for each place, for all channels."""
    weight = layers.Dense(1, activation="sigmoid")(x)
    return pick(layers.Multiply(), layers.Add())([x, weight] if pick(True, False) else [weight, x])


@step_of_two
def concatenate(x, other, pick):
    other = fit(other, (*x.shape[:-1], other.shape[-1]))
    if x.shape[-1] + other.shape[-1] > WIDEST:
        return None
    return layers.Concatenate()([x, other]) if pick(True, False) else ops.concatenate([x, other], -1)


@step_of_two
def concatenate_places(x, other, pick):
    if len(x.shape) == 2 or 2 * x.shape[1] > LONGEST:
        return None
    operands = [x, fit(other, x.shape)]
    return layers.Concatenate(axis=1)(operands) if pick(True, False) else ops.concatenate(operands, 1)


@step_of_two
def stack(x, other, pick):
    if len(x.shape) > 3:
        return None
    return ops.stack([x, fit(other, x.shape)], axis=pick(1, -1))


@step_of_two
def dot(x, other, pick):
    return layers.Dot(1, normalize=False)([vector_of(x), fit(other, vector_of(x).shape)])
