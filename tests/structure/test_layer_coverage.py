"""Every layer and operation of Keras has a rule or stands here with the reason why it has none, and every rule holds.

A release of Keras with a new layer fails the first tests: give it a rule and a case, or a reason.
"""

import importlib
import inspect
import json
import pkgutil

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.src import ops as operations_package
from keras.src.ops.operation import Operation

from cgap_keras import apply, find_groups, rebuild
from cgap_keras.structure.registry import _RULES
from tests.models import difference, randomize, run_model

pytestmark = pytest.mark.usefixtures("quick_weights")

UNRULED_LAYERS = {
    "never the operation of a call": "InputLayer InputSpec Layer Wrapper",
    "text or tokens in, so that no units reach it": (
        "CategoryEncoding Discretization HashedCrossing Hashing IntegerLookup StringLookup TextVectorization"
    ),
    "works on the colours of an image, of which there are as many as there are": (
        "AutoContrast AugMix ContrastLimitedAdaptiveHistogramEqualization Equalization RandAugment "
        "RandomColorDegeneration RandomColorJitter RandomErasing RandomGrayscale RandomHue RandomInvert "
        "RandomPosterization RandomSaturation RandomSharpness Solarization"
    ),
    "changes pictures together with their labels or boxes": "CutMix MaxNumBoundingBoxes MixUp",
    "a wave in, a spectrum out": "MelSpectrogram STFTSpectrogram",
    "a row of layers that no graph shows": "Pipeline",
    "Keras does not make it from its own configuration": "RandomShear",
    "holds a program of another framework": "FlaxLayer JaxLayer TFSMLayer TorchModuleWrapper",
}
UNRULED_OPERATIONS = {
    "has no operand of its own, or makes something of fixed shape": (
        "Arange Array EmptyLike Full FullLike Geomspace Linspace Logspace Meshgrid Ndim Operation Size"
    ),
    "runs functions, of which a graph shows nothing": (
        "AssociativeScan Cond ForiLoop Function JVP Map Scan Switch VectorizedMap WhileLoop"
    ),
    "a layer does it with weights that can be edited": (
        "BatchNorm Conv ConvTranspose DepthwiseConv DotProductAttention SeparableConv"
    ),
    "a loss or a measure": (
        "AllClose BinaryCrossentropy CTCDecode CTCLoss CategoricalCrossentropy Corrcoef InTopK PSNR SSIM "
        "SparseCategoricalCrossentropy"
    ),
    "linear algebra on whole matrices": (
        "Cholesky CholeskyInverse Det Diag Diagflat Diagonal Eig Eigh Inv Logdet Lstsq LuFactor MatrixRank Pinv Qr SVD "
        "Slogdet Solve SolveTriangular Trace Tril Triu Vander"
    ),
    "products that mix every unit with every other": "CDist Correlate Cross Dot Inner Kron Outer Vdot",
    "signals and complex numbers": (
        "Angle Conj Conjugate ExtractSequences FFT FFT2 IFFT2 IRFFT ISTFT Imag Isreal Polar RFFT Real STFT "
        "ViewAsComplex ViewAsReal"
    ),
    "picks or counts places by values": (
        "Argpartition Bincount Digitize Histogram InTopK IsIn MultiHot Nanargmax Nanargmin Nonzero OneHot SearchSorted "
        "SegmentMax SegmentMin SegmentProd SegmentReduction SegmentSum Scatter ScatterUpdate Select TakeAlongAxis TopK "
        "Unique UnravelIndex"
    ),
    "places of fixed number": "Slice SliceUpdate",
    "pixels of an image, mixed with their colours": (
        "AffineTransform CropImages ElasticTransform ExtractPatches Fold GaussianBlur HSVToRGB MapCoordinates "
        "PadImages PerspectiveTransform RGBToGrayscale RGBToHSV ScaleAndTranslate SobelEdges Unfold"
    ),
    "bits and whole numbers": (
        "BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor Gcd Lcm Ldexp "
        "LeftShift Nextafter RightShift View"
    ),
    "rare": (
        "Append ArraySplit Dsplit Dstack Fliplr Flipud Hsplit Hstack I0 Isneginf Isposinf Nanpercentile Nanquantile "
        "Percentile Quantile Ravel Rearrange Rot90 Trapezoid Vsplit Vstack"
    ),
}
TOLERANCE = 1e-4
computing = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="rules know no backend, and JAX would compile every shape of every case"
)


def names_in(table):
    return {name for names in table.values() for name in names.split()}


def public_layers():
    return {kind.__name__: kind for kind in vars(layers).values() if inspect.isclass(kind)}


def graph_operations():
    """The classes behind `keras.ops`, by name."""
    found = {}
    for module in pkgutil.iter_modules(operations_package.__path__):
        if not module.name.endswith("_test"):
            content = vars(importlib.import_module(f"{operations_package.__name__}.{module.name}"))
            kinds = [kind for kind in content.values() if inspect.isclass(kind) and issubclass(kind, Operation)]
            found |= {kind.__name__: kind for kind in kinds if not issubclass(kind, layers.Layer)}
    return found


def test_every_layer_has_a_rule_or_a_reason():
    ruled = {name for name, kind in public_layers().items() if kind in _RULES}
    assert ruled | names_in(UNRULED_LAYERS) == set(public_layers())
    assert not ruled & names_in(UNRULED_LAYERS)


def test_every_operation_has_a_rule_or_a_reason():
    ruled = {name for name, kind in graph_operations().items() if kind in _RULES}
    assert ruled | names_in(UNRULED_OPERATIONS) == set(graph_operations())
    assert not ruled & names_in(UNRULED_OPERATIONS)


def after(shape, first, middle, dtype=None):
    """A model of a layer that makes units, what is under test, and a classifier."""
    inputs = keras.Input(shape, dtype=dtype)
    x = middle(first(inputs) if first else inputs)
    x = layers.Flatten()(x) if len(x.shape) > 2 else x
    return keras.Model(inputs, layers.Dense(3, name="out")(x))


def after_dense(middle, shape=(5, 4)):
    return lambda: after(shape, layers.Dense(8, name="units"), middle())


def after_convolution(middle):
    return lambda: after((8, 8, 2), layers.Conv2D(8, 3, padding="same", name="units"), middle())


def after_volume(middle):
    return lambda: after((4, 4, 4, 2), layers.Conv3D(6, 1, name="units"), middle())


def merged(merge):
    def model():
        inputs = keras.Input((5, 4))
        x = merge([layers.Dense(8, name="units")(inputs), layers.Dense(8)(inputs)])
        return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))

    return model


def attended(layer):
    def model():
        inputs = keras.Input((5, 4))
        query, value, key = (layers.Dense(8, name=name)(inputs) for name in ("units", "value", "key"))
        return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layer(query, value, key))))

    return model


def embedded(layer, reverse=False):
    def model():
        inputs = keras.Input((5,), dtype="int32")
        x = layer(inputs)
        x = layer(layers.ReLU()(x), reverse=True) if reverse else x
        return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))

    return model


def both_ways(kind):
    return after_dense(lambda: layers.Bidirectional(kind(6), name="both"))


DENSE = {
    "Activation": lambda: layers.Activation("gelu"),
    "ActivityRegularization": lambda: layers.ActivityRegularization(0.1),
    "AdaptiveAveragePooling1D": lambda: layers.AdaptiveAveragePooling1D(2),
    "AdaptiveMaxPooling1D": lambda: layers.AdaptiveMaxPooling1D(2),
    "AlphaDropout": lambda: layers.AlphaDropout(0.5, noise_shape=(None, 1, 8)),
    "AveragePooling1D": lambda: layers.AveragePooling1D(2),
    "Bidirectional": lambda: layers.Bidirectional(layers.RNN([layers.LSTMCell(6), layers.GRUCell(5)])),
    "Conv1D": lambda: layers.Conv1D(6, 2, padding="causal", dilation_rate=2),
    "Conv1DTranspose": lambda: layers.Conv1DTranspose(6, 3, strides=2),
    "Cropping1D": lambda: layers.Cropping1D(1),
    "Dense": lambda: layers.Dense(6, activation="tanh"),
    "DepthwiseConv1D": lambda: layers.DepthwiseConv1D(3, depth_multiplier=2),
    "Dropout": lambda: layers.Dropout(0.5, noise_shape=(None, 1, 8)),
    "EinsumDense": lambda: layers.EinsumDense("abc,cde->abde", (5, 3, 4), bias_axes="de"),
    "ELU": layers.ELU,
    "Flatten": layers.Flatten,
    "GRU": lambda: layers.GRU(6, reset_after=False),
    "GRUCell": lambda: layers.RNN(layers.GRUCell(6)),
    "GaussianDropout": lambda: layers.GaussianDropout(0.5),
    "GaussianNoise": lambda: layers.GaussianNoise(0.5),
    "GlobalAveragePooling1D": layers.GlobalAveragePooling1D,
    "GlobalMaxPooling1D": layers.GlobalMaxPooling1D,
    "Identity": layers.Identity,
    "LSTM": lambda: layers.LSTM(6, go_backwards=True, use_bias=False),
    "LSTMCell": lambda: layers.RNN(layers.LSTMCell(6), return_sequences=True),
    "LayerNormalization": layers.LayerNormalization,
    "LeakyReLU": layers.LeakyReLU,
    "Masking": lambda: keras.Sequential([keras.Input((5, 8)), layers.Masking(), layers.LSTM(6)]),
    "MaxPooling1D": lambda: layers.MaxPooling1D(2),
    "Normalization": lambda: layers.Normalization(axis=None, mean=1.0, variance=2.0),
    "PReLU": layers.PReLU,
    "Permute": lambda: layers.Permute((2, 1)),
    "RMSNormalization": layers.RMSNormalization,
    "RNN": lambda: layers.RNN(layers.SimpleRNNCell(6)),
    "ReLU": layers.ReLU,
    "Rescaling": lambda: layers.Rescaling(2.0, 1.0),
    "Reshape": lambda: layers.Reshape((5, 4, 2)),
    "SeparableConv1D": lambda: layers.SeparableConv1D(6, 2, depth_multiplier=2),
    "SimpleRNN": lambda: layers.SimpleRNN(6, unroll=True),
    "SimpleRNNCell": lambda: layers.RNN(layers.SimpleRNNCell(6)),
    "Softmax": lambda: layers.Softmax(axis=1),
    "SpatialDropout1D": lambda: layers.SpatialDropout1D(0.5),
    "StackedRNNCells": lambda: layers.RNN(layers.StackedRNNCells([layers.GRUCell(6), layers.LSTMCell(5)])),
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Dense(6)),
    "UnitNormalization": layers.UnitNormalization,
    "UpSampling1D": lambda: layers.UpSampling1D(2),
    "ZeroPadding1D": lambda: layers.ZeroPadding1D(1),
}
CONVOLUTION = {
    "AdaptiveAveragePooling2D": lambda: layers.AdaptiveAveragePooling2D(2),
    "AdaptiveMaxPooling2D": lambda: layers.AdaptiveMaxPooling2D(2),
    "AveragePooling2D": lambda: layers.AveragePooling2D(2),
    "BatchNormalization": lambda: layers.BatchNormalization(scale=False),
    "CenterCrop": lambda: layers.CenterCrop(4, 4),
    "Conv2D": lambda: layers.Conv2D(6, 3, strides=2, groups=2),
    "Conv2DTranspose": lambda: layers.Conv2DTranspose(6, 3),
    "Cropping2D": lambda: layers.Cropping2D(1),
    "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(3),
    "GlobalAveragePooling2D": layers.GlobalAveragePooling2D,
    "GlobalMaxPooling2D": lambda: layers.GlobalMaxPooling2D(keepdims=True),
    "GroupNormalization": lambda: layers.GroupNormalization(-1),
    "MaxPooling2D": lambda: layers.MaxPooling2D(2),
    "RandomBrightness": lambda: layers.RandomBrightness(0.1),
    "RandomContrast": lambda: layers.RandomContrast(0.1),
    "RandomCrop": lambda: layers.RandomCrop(8, 8),
    "RandomElasticTransform": layers.RandomElasticTransform,
    "RandomFlip": layers.RandomFlip,
    "RandomGaussianBlur": layers.RandomGaussianBlur,
    "RandomPerspective": layers.RandomPerspective,
    "RandomRotation": lambda: layers.RandomRotation(0.1),
    "RandomTranslation": lambda: layers.RandomTranslation(0.1, 0.1),
    "RandomZoom": lambda: layers.RandomZoom(0.1),
    "Resizing": lambda: layers.Resizing(4, 5),
    "SeparableConv2D": lambda: layers.SeparableConv2D(6, 3),
    "SpatialDropout2D": lambda: layers.SpatialDropout2D(0.5),
    "SpectralNormalization": lambda: layers.SpectralNormalization(layers.DepthwiseConv2D(3)),
    "UpSampling2D": lambda: layers.UpSampling2D(2, interpolation="bilinear"),
    "ZeroPadding2D": lambda: layers.ZeroPadding2D(1),
}
VOLUME = {
    "AdaptiveAveragePooling3D": lambda: layers.AdaptiveAveragePooling3D(2),
    "AdaptiveMaxPooling3D": lambda: layers.AdaptiveMaxPooling3D(2),
    "AveragePooling3D": lambda: layers.AveragePooling3D(2),
    "Conv3D": lambda: layers.Conv3D(5, 2),
    "Conv3DTranspose": lambda: layers.Conv3DTranspose(5, 2),
    "ConvLSTM1D": lambda: keras.Sequential(
        [keras.Input((4, 4, 4, 6)), layers.Reshape((4, 16, 6)), layers.ConvLSTM1D(5, 2)]
    ),
    "ConvLSTM2D": lambda: layers.ConvLSTM2D(5, 2, return_sequences=True),
    "Cropping3D": lambda: layers.Cropping3D(1),
    "GlobalAveragePooling3D": layers.GlobalAveragePooling3D,
    "GlobalMaxPooling3D": layers.GlobalMaxPooling3D,
    "MaxPooling3D": lambda: layers.MaxPooling3D(2),
    "SpatialDropout3D": lambda: layers.SpatialDropout3D(0.5),
    "UpSampling3D": lambda: layers.UpSampling3D(2),
    "ZeroPadding3D": lambda: layers.ZeroPadding3D(1),
}
CASES = {
    **{name: after_dense(middle) for name, middle in DENSE.items()},
    **{name: after_convolution(middle) for name, middle in CONVOLUTION.items()},
    **{name: after_volume(middle) for name, middle in VOLUME.items()},
    **{
        name: merged(getattr(layers, name)())
        for name in "Add Average Concatenate Maximum Minimum Multiply Subtract".split()
    },
    "AdditiveAttention": attended(lambda q, v, k: layers.AdditiveAttention()([q, v, k])),
    "Attention": attended(lambda q, v, k: layers.Attention(use_scale=True)([q, v, k])),
    "ConvLSTM3D": lambda: after(
        (3, 3, 3, 3, 2), layers.TimeDistributed(layers.Conv3D(6, 1), name="units"), layers.ConvLSTM3D(4, 2)
    ),
    "Dot": merged(layers.Dot(-1)),
    "Embedding": embedded(layers.Embedding(6, 8, mask_zero=True, name="units")),
    "GroupedQueryAttention": attended(lambda q, v, k: layers.GroupQueryAttention(5, 6, 3)(q, v, k)),
    "MultiHeadAttention": attended(lambda q, v, k: layers.MultiHeadAttention(4, 5, use_gate=True)(q, value=v, key=k)),
    "RepeatVector": after_dense(lambda: layers.RepeatVector(3), (4,)),
    "ReversibleEmbedding": embedded(layers.ReversibleEmbedding(6, 8, tie_weights=False, name="units"), reverse=True),
}


def on_images(function):
    def model():
        inputs = keras.Input((4, 6, 2))
        x, y = (layers.Conv2D(8, 1, activation="tanh", name=name)(inputs) for name in ("units", "other"))
        z = ops.cast(function(x, y), "float32")
        return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(z)))

    return model


# Operations of which one or the other argument shows whether a rule is right; `units` stay free in each.
OPERATIONS = {
    "any": lambda x, y: ops.any(x > 0, axis=-1, keepdims=True),
    "argmax": lambda x, y: ops.argmax(x, axis=1),
    "average": lambda x, y: ops.average(x, axis=1),
    "broadcast_to": lambda x, y: y + ops.broadcast_to(ops.mean(x, (0, 1, 2), keepdims=True), (1, 4, 6, 8)),
    "clip": lambda x, y: ops.clip(x, -0.1, 0.1),
    "concatenate": lambda x, y: ops.concatenate([x, y], -1),
    "cumsum": lambda x, y: ops.cumsum(x, axis=1),
    "depth_to_space": lambda x, y: ops.depth_to_space(x, 2),
    "einsum over places": lambda x, y: ops.einsum("bhwc,bhvc->bwvc", x, y),
    "einsum over units": lambda x, y: ops.einsum("...c,...c->...", x, y)[..., None],
    "erf": lambda x, y: ops.erf(x) + ops.rsqrt(ops.abs(x) + 1),
    "glu": lambda x, y: ops.glu(x),
    "greater": lambda x, y: ops.where(ops.logical_and(x > y, x < 1), x, 0.0),
    "layer_normalization": lambda x, y: ops.layer_normalization(x),
    "logsumexp": lambda x, y: ops.logsumexp(x, axis=(1, 2), keepdims=True),
    "max_pool": lambda x, y: ops.max_pool(x, 2),
    "moments": lambda x, y: ops.moments(x, axes=[1, 2])[1],
    "norm": lambda x, y: ops.norm(x, axis=(1, 2)),
    "normalize": lambda x, y: ops.normalize(x, axis=-1),
    "pad beside units": lambda x, y: ops.pad(x, ((0, 0), (0, 0), (1, 0), (2, 1))),
    "repeat": lambda x, y: ops.repeat(ops.repeat(x, 2, axis=-1), 2, axis=1),
    "resize": lambda x, y: ops.image.resize(x, (3, 4)),
    "rms_normalization": lambda x, y: ops.rms_normalization(x),
    "roll": lambda x, y: ops.roll(x, 1, axis=1),
    "slice": lambda x, y: x[:, 1:3, ::2],
    "softmax": lambda x, y: ops.softmax(x, axis=1),
    "sort": lambda x, y: ops.sort(x, axis=2),
    "space_to_depth": lambda x, y: ops.space_to_depth(x, 2),
    "split": lambda x, y: ops.split(x, 2, axis=-1)[1],
    "stack": lambda x, y: ops.stack([x, y], axis=1),
    "take": lambda x, y: ops.take(x, [0, 2, 3], axis=1),
    "tensordot": lambda x, y: ops.tensordot(x, np.ones((4, 5), "float32"), axes=[[1], [0]]),
    "tile": lambda x, y: ops.tile(x, (1, 2, 1, 2)),
    "unstack": lambda x, y: ops.unstack(x, axis=1)[2],
}


def test_every_layer_with_a_rule_has_a_case():
    refused = {"Lambda"}
    assert set(CASES) | refused == {name for name, kind in public_layers().items() if kind in _RULES}


def inputs_of(model):
    rng, (tensor,) = np.random.default_rng(0), model.inputs
    shape = (2, *tensor.shape[1:])
    return [rng.integers(0, 6, shape) if "int" in tensor.dtype else rng.normal(size=shape).astype("float32")]


@computing
@pytest.mark.parametrize("name", [*CASES, *OPERATIONS])
def test_edits_on_both_sides_keep_the_function(name):
    model, rng = CASES[name]() if name in CASES else on_images(OPERATIONS[name])(), np.random.default_rng(0)
    randomize(model)
    inputs = inputs_of(model)
    expected = run_model(model, inputs)
    free = [group for group in find_groups(model) if not group.frozen]
    assert "units" in {group.name for group in free}
    edited = {group.name: rng.permutation(group.size) for group in free}
    for group in free:
        if group.exact:
            edited[group.name] = np.append(edited[group.name], rng.integers(0, group.size, max(1, group.size // 4)))
    apply(model, edited)
    assert difference(expected, run_model(model, inputs)) < TOLERANCE
    apply(model, {group.name: range((group.size + 1) // 2) for group in free})
    assert [x.shape for x in run_model(model, inputs)] == [x.shape for x in expected]


@computing
def test_many_layers_in_one_model_survive_saving(tmp_path):
    inputs = keras.Input((3, 8, 8, 2))
    frame = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(6, 3, name="inside", kernel_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(2)),
            layers.BatchNormalization(),
            layers.PReLU(shared_axes=[1, 2]),
            layers.GlobalAveragePooling2D(),
        ]
    )
    x = layers.TimeDistributed(layers.Conv2D(4, 1), name="units")(inputs)
    x = layers.Masking()(layers.TimeDistributed(frame, name="frames")(x))
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True), name="both")(x)
    x = layers.GroupQueryAttention(3, 4, 2, name="attention")(x, x)
    x = layers.RNN([layers.LSTMCell(5), layers.GRUCell(4)], name="stacked")(x)
    model = keras.Model(inputs, layers.Dense(3, name="out")(x))
    randomize(model)
    images = inputs_of(model)
    expected = run_model(model, images)
    free = {group.name: group.size for group in find_groups(model) if not group.frozen}
    assert free == {"units": 4, "frames/inside": 6, "both": 4, "attention": 2, "stacked": 5, "stacked:1": 4}
    grown = rebuild(model, {name: [*range(size)[::-1], 0] for name, size in free.items()})
    assert difference(expected, run_model(grown, images)) < TOLERANCE
    grown.save(tmp_path / "grown.keras")
    loaded = keras.models.load_model(tmp_path / "grown.keras")
    assert difference(run_model(grown, images), run_model(loaded, images)) < 1e-6
    assert json.dumps(loaded.get_config()) == json.dumps(grown.get_config())
    assert {group.name: group.size for group in find_groups(loaded) if not group.frozen} == {
        name: size + 1 for name, size in free.items()
    }
