"""Small models whose structure is known by hand.

A builder takes a `Keep` and calls it on each tensor of a channel group right before something reads it. Without masks
it does nothing. With masks it multiplies the tensor by zeros and ones, which makes the masked twin that a pruned model
is compared with, without a word from the library about what belongs to a group.
"""

import keras
import numpy as np
from keras import layers

from cgap_keras.structure.registry import rule


class Mask(layers.Layer):
    """Multiplies one axis by fixed numbers."""

    def __init__(self, values, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.values, self.axis = np.asarray(values, "float32"), axis

    def call(self, inputs):
        shape = [1] * len(inputs.shape)
        shape[self.axis] = len(self.values)
        return inputs * keras.ops.convert_to_tensor(self.values.reshape(shape), inputs.dtype)


class Keep:
    """Masks the tensors of some groups: `keep("conv_a", x)`."""

    def __init__(self, masks=None):
        self.masks = masks or {}

    def __call__(self, group, tensor, axis=-1, repeat=1, tile=1):
        for mask in self.layers(group, axis, repeat, tile):
            tensor = mask(tensor)
        return tensor

    def layers(self, group, axis=-1, repeat=1, tile=1):
        if group not in self.masks:
            return []
        return [Mask(np.tile(np.repeat(self.masks[group], repeat), tile), axis)]


def chain(keep):
    image = keras.Input((5, 6, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv_a")(image)
    x = layers.BatchNormalization(name="bn_a")(x)
    x = layers.ReLU(name="relu_a")(x)
    x = layers.MaxPooling2D(2, name="pool_a")(x)
    x = layers.Conv2D(5, 2, activation="sigmoid", name="conv_b")(keep("conv_a", x))
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return keras.Model(image, layers.Dense(3, name="out")(keep("conv_b", x)))


def residual(keep):
    image = keras.Input((5, 6, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(image)
    y = layers.Conv2D(5, 3, strides=2, padding="same", name="block1_a")(keep("stem", x))
    y = layers.ReLU()(layers.BatchNormalization(name="bn1_a")(y))
    y = layers.Conv2D(6, 3, padding="same", name="block1_b")(keep("block1_a", y))
    y = layers.BatchNormalization(name="bn1_b")(y)
    shortcut = layers.Conv2D(6, 1, strides=2, name="project")(keep("stem", x))
    x = layers.ReLU()(layers.Add(name="add1")([y, shortcut]))
    y = layers.Conv2D(3, 3, padding="same", activation="tanh", name="block2_a")(keep("block1_b", x))
    y = layers.Conv2D(6, 3, padding="same", name="block2_b")(keep("block2_a", y))
    x = layers.ReLU()(layers.Add(name="add2")([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3, name="out")(keep("block1_b", x)))


def concat(keep):
    image = keras.Input((5, 6, 2), name="image")
    a = keep("conv_a", layers.Conv2D(4, 3, padding="same", activation="relu", name="conv_a")(image))
    b = keep("conv_b", layers.Conv2D(3, 1, name="conv_b")(image))
    x = layers.Concatenate(name="concat_1")([image, a, b])
    c = keep("conv_c", layers.Conv2D(5, 3, padding="same", activation="relu", name="conv_c")(x))
    x = layers.Concatenate(name="concat_2")([c, a])
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    return keras.Model(image, layers.Dense(3, name="out")(x))


def depthwise(keep):
    image = keras.Input((5, 6, 2), name="image")
    x = layers.Conv2D(3, 3, activation="relu", name="conv_a")(image)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="dw_a")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="bn_a")(x))
    x = layers.Conv2D(4, 1, name="conv_b")(keep("conv_a", x, repeat=2))
    x = layers.DepthwiseConv2D(2, use_bias=False, activation="relu", name="dw_b")(x)
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(image, layers.Dense(3, name="out")(keep("conv_b", x)))


def flatten_last(keep):
    image = keras.Input((4, 5, 2), name="image")
    x = keep("conv_a", layers.Conv2D(3, 3, activation="relu", name="conv_a")(image))
    x = layers.Dense(4, activation="softplus", name="hidden")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(3, name="out")(keep("hidden", x)))


def flatten_first(keep):
    """Channels first throughout: `Flatten` moves the channels behind the image.

    The image is wide, because Keras on TensorFlow adds a bias along the columns where there are as many as filters.
    """
    image = keras.Input((2, 6, 14), name="image")
    x = layers.Conv2D(3, 3, data_format="channels_first", name="conv_a")(image)
    x = layers.ReLU()(layers.BatchNormalization(axis=1, name="bn_a")(x))
    x = layers.AveragePooling2D((2, 1), data_format="channels_first")(keep("conv_a", x, axis=1))
    x = layers.Flatten(data_format="channels_first")(x)
    return keras.Model(image, layers.Dense(3, name="out")(x))


def flatten_mixed(keep):
    """Channels first, and a `Flatten` that does not know: every unit has its places in a row."""
    image = keras.Input((2, 4, 14), name="image")
    x = layers.Conv2D(3, 3, data_format="channels_first", activation="relu", name="conv_a")(image)
    x = layers.Flatten(data_format="channels_last")(keep("conv_a", x, axis=1))
    return keras.Model(image, layers.Dense(3, name="out")(x))


def siamese(keep):
    left, right = keras.Input((5, 6, 2), name="left"), keras.Input((5, 6, 2), name="right")
    first = layers.Conv2D(4, 3, activation="relu", name="first")
    second = layers.Conv2D(5, 2, name="second")
    towers = [second(keep("first", first(x))) for x in (left, right)]
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.Subtract()(towers)))
    return keras.Model([left, right], layers.Dense(3, name="out")(keep("second", x)))


def nested_functional(keep):
    """A nested residual block, called twice, whose input and output belong to a group of the model around it."""
    inner = keras.Input((5, 6, 4), name="inner_input")
    y = layers.Conv2D(5, 3, padding="same", activation="relu", name="inner_a")(inner)
    y = layers.Conv2D(4, 1, name="inner_b")(keep("block/inner_a", y))
    block = keras.Model(inner, keep("outer", layers.Add(name="inner_add")([inner, y])), name="block")
    image = keras.Input((5, 6, 2), name="image")
    x = keep("outer", layers.Conv2D(4, 3, padding="same", activation="relu", name="outer")(image))
    x = layers.GlobalAveragePooling2D()(block(block(x)))
    return keras.Model(image, layers.Dense(3, name="out")(x))


def nested_sequential(keep):
    stack = keras.Sequential(
        [
            keras.Input((5, 6, 4)),
            layers.Conv2D(5, 3, name="inner_a"),
            layers.BatchNormalization(name="inner_bn"),
            layers.ReLU(name="inner_relu"),
            *keep.layers("stack/inner_a"),
            layers.Conv2D(3, 2, name="inner_b"),
        ],
        name="stack",
    )
    image = keras.Input((5, 6, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="outer")(image)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(stack(keep("outer", x))))
    return keras.Model(image, layers.Dense(3, name="out")(keep("stack/inner_b", x)))


def sequential(keep):
    return keras.Sequential(
        [
            keras.Input((5, 6, 2)),
            layers.Conv2D(4, 3, activation="relu", name="conv_a"),
            *keep.layers("conv_a"),
            layers.Flatten(name="flatten"),
            layers.Dense(5, activation="relu", name="hidden"),
            layers.Dropout(0.5, seed=3, name="dropout"),
            *keep.layers("hidden"),
            layers.Dense(3, name="out"),
        ],
        name="sequential",
    )


def two_inputs_two_outputs(keep):
    image, vector = keras.Input((5, 6, 2), name="image"), keras.Input((3,), name="vector")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu", name="conv")(image))
    y = layers.Dense(5, activation="relu", name="embed")(vector)
    x = layers.Concatenate()([keep("conv", x), vector, keep("embed", y)])
    shown = layers.Dense(4, activation="relu", name="shown")(x)
    hidden = layers.Dense(6, activation="relu", name="hidden")(shown)
    return keras.Model([image, vector], [layers.Dense(2, name="out")(keep("hidden", hidden)), shown])


def squeeze_excite(keep):
    image = keras.Input((5, 6, 2), name="image")
    x = keep("conv_a", layers.Conv2D(4, 3, activation="relu", name="conv_a")(image))
    scale = layers.GlobalAveragePooling2D(keepdims=True)(x)
    scale = layers.Dense(3, activation="relu", name="reduce")(scale)
    scale = layers.Dense(4, activation="sigmoid", name="expand")(keep("reduce", scale))
    x = layers.Multiply(name="scaled")([x, scale])
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(5, 2, name="conv_b")(x))
    return keras.Model(image, layers.Dense(3, name="out")(keep("conv_b", x)))


def squeeze_excite_flat(keep):
    """The scale without its axes of size 1, which Keras adds behind the batch axis."""
    image = keras.Input((5, 6, 2), name="image")
    x = keep("conv_a", layers.Conv2D(4, 3, activation="relu", name="conv_a")(image))
    scale = layers.Dense(4, activation="sigmoid", name="expand")(layers.GlobalAveragePooling2D()(x))
    x = layers.GlobalAveragePooling2D()(layers.Multiply(name="scaled")([scale, x]))
    return keras.Model(image, layers.Dense(3, name="out")(x))


def spatial_attention(keep):
    image = keras.Input((5, 6, 2), name="image")
    x = keep("features", layers.Conv2D(4, 3, activation="relu", name="features")(image))
    weight = layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="attention")(x)
    x = layers.Multiply(name="attended")([weight, x])
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1, name="conv_b")(x))
    return keras.Model(image, layers.Dense(3, name="out")(keep("conv_b", x)))


def softmax_inside(keep):
    image = keras.Input((5, 6, 2), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="conv_a")(image)
    x = layers.Conv2D(5, 1, activation="softmax", name="mixing")(keep("conv_a", x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1, name="conv_b")(x))
    return keras.Model(image, layers.Dense(3, name="out")(keep("conv_b", x)))


class Unknown(layers.Layer):
    """A layer for which there is no rule."""

    def call(self, inputs):
        return inputs - keras.ops.mean(inputs, -1, keepdims=True)


def without_rule(keep):
    """Layers in whose neighbourhood nothing can be resized, and others far from them."""
    sequence = keras.Input((8, 3), name="sequence")
    x = layers.Conv1D(4, 3, activation="relu", name="conv_a")(sequence)
    x = layers.Conv1D(5, 3, name="conv_b")(keep("conv_a", x))
    x = layers.Conv1D(3, 1, name="conv_c")(Unknown(name="norm")(x))
    x = Unknown(name="mix")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(5, activation="relu", name="hidden")(x)
    return keras.Model(sequence, layers.Dense(3, name="out")(keep("hidden", x)))


class Reverse(layers.Layer):
    """Reverses the channels; its rule below does the same to the labels."""

    def call(self, inputs):
        return keras.ops.flip(inputs, -1)


@rule(Reverse)
def reverse(call, labels, tracer):
    return [np.flip(labels[0], -1)]


class OwnCall(layers.Conv2D):
    """A convolution that does more than its parent, in its own `call`."""

    def call(self, inputs):
        return keras.ops.flip(super().call(inputs), -1)


class OwnConvolution(layers.Conv2D):
    """A convolution that overrides what Keras offers for the purpose: its kernel is made to sum to zero."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel - keras.ops.mean(kernel, axis=(0, 1, 2), keepdims=True))


class SameConvolution(layers.Conv2D):
    """A convolution with a constructor of its own, and nothing else."""

    def __init__(self, filters, kernel_size, flavour="plain", **kwargs):
        super().__init__(filters, kernel_size, **kwargs)
        self.flavour = flavour

    def get_config(self):
        return {**super().get_config(), "flavour": self.flavour}


def own_layers(keep):
    image = keras.Input((5, 6, 2), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="conv_a")(image)
    x = layers.Conv2D(3, 1, name="conv_b")(OwnCall(5, 1, name="own_call")(x))
    x = layers.Conv2D(4, 1, name="conv_c")(OwnConvolution(5, 1, name="own_convolution")(x))
    x = SameConvolution(5, 1, "mint", name="same")(keep("conv_c", x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3, name="out")(keep("same", x)))


def tied_twice(keep):
    """Sums of concatenations in both orders: the four units of one layer follow the two of another, twice."""
    image = keras.Input((5, 6, 2), name="image")
    a = layers.Conv2D(2, 3, name="conv_a")(image)
    b = layers.Conv2D(4, 3, name="conv_b")(image)
    x = layers.Add(name="add")([layers.Concatenate(name="ab")([a, b]), layers.Concatenate(name="ba")([b, a])])
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(image, layers.Dense(3, name="out")(keep("conv_b", x, tile=3)))


def tied_in_parts(keep):
    """A layer whose units follow two others, some the one, some the other."""
    image = keras.Input((5, 6, 2), name="image")
    a = layers.Conv2D(2, 3, name="conv_a")(image)
    b = layers.Conv2D(4, 3, name="conv_b")(image)
    c = layers.Conv2D(6, 1, name="conv_c")(keep("stem", layers.Conv2D(3, 3, activation="relu", name="stem")(image)))
    x = layers.ReLU()(layers.Add(name="add")([layers.Concatenate(name="ab")([a, b]), c]))
    x = layers.GlobalAveragePooling2D()(x)
    for group, start, size in (("conv_a", 0, 2), ("conv_b", 2, 4)):
        if group in keep.masks:
            mask = np.ones(6)
            mask[start : start + size] = keep.masks[group]
            x = Mask(mask)(x)
    return keras.Model(image, layers.Dense(3, name="out")(x))


def one_dimension(keep):
    sequence = keras.Input((9, 2), name="sequence")
    x = layers.Conv1D(3, 3, padding="causal", name="conv_a")(sequence)
    x = layers.BatchNormalization(scale=False, name="bn_a")(x)
    x = layers.LeakyReLU()(layers.DepthwiseConv1D(3, depth_multiplier=2, name="dw_a")(x))
    x = layers.MaxPooling1D(2)(x)
    x = layers.Conv1D(4, 2, activation="gelu", name="conv_b")(keep("conv_a", x, repeat=2))
    x = layers.GlobalMaxPooling1D()(layers.SpatialDropout1D(0.5)(x))
    return keras.Model(sequence, layers.Dense(3, name="out")(keep("conv_b", x)))


def three_dimensions(keep):
    volume = keras.Input((3, 4, 5, 2), name="volume")
    x = layers.Conv3D(3, 2, activation="relu", name="conv_a")(layers.ZeroPadding3D(1)(volume))
    x = layers.UpSampling3D((1, 2, 1))(layers.MaxPooling3D(2)(x))
    x = layers.Conv3D(4, 1, name="conv_b")(keep("conv_a", x))
    x = layers.GlobalAveragePooling3D()(layers.Cropping3D((0, 1, 0))(x))
    return keras.Model(volume, layers.Dense(3, name="out")(keep("conv_b", x)))


# Each builder, and by hand: the groups that can be resized, with their sizes.
MODELS = {
    "chain": (chain, {"conv_a": 4, "conv_b": 5}),
    "residual": (residual, {"stem": 4, "block1_a": 5, "block1_b": 6, "block2_a": 3}),
    "concat": (concat, {"conv_a": 4, "conv_b": 3, "conv_c": 5}),
    "depthwise": (depthwise, {"conv_a": 3, "conv_b": 4}),
    "flatten_last": (flatten_last, {"conv_a": 3, "hidden": 4}),
    "flatten_first": (flatten_first, {"conv_a": 3}),
    "flatten_mixed": (flatten_mixed, {"conv_a": 3}),
    "siamese": (siamese, {"first": 4, "second": 5}),
    "nested_functional": (nested_functional, {"outer": 4, "block/inner_a": 5}),
    "nested_sequential": (nested_sequential, {"outer": 4, "stack/inner_a": 5, "stack/inner_b": 3}),
    "sequential": (sequential, {"conv_a": 4, "hidden": 5}),
    "two_inputs_two_outputs": (two_inputs_two_outputs, {"conv": 4, "embed": 5, "hidden": 6}),
    "squeeze_excite": (squeeze_excite, {"conv_a": 4, "reduce": 3, "conv_b": 5}),
    "squeeze_excite_flat": (squeeze_excite_flat, {"conv_a": 4}),
    "spatial_attention": (spatial_attention, {"features": 4, "conv_b": 3}),
    "softmax_inside": (softmax_inside, {"conv_a": 4, "conv_b": 3}),
    "without_rule": (without_rule, {"conv_a": 4, "hidden": 5}),
    "own_layers": (own_layers, {"conv_c": 4, "same": 5}),
    "tied_twice": (tied_twice, {"conv_b": 2}),
    "tied_in_parts": (tied_in_parts, {"stem": 3, "conv_a": 2, "conv_b": 4}),
    "one_dimension": (one_dimension, {"conv_a": 3, "conv_b": 4}),
    "three_dimensions": (three_dimensions, {"conv_a": 3, "conv_b": 4}),
}
