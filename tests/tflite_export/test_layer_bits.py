"""Bit widths by layer: the weights of each layer have the bits that were asked, in graphs where names say little."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter as LiteRT
from keras import layers

from tflite_export import export

BITS = {"conv": 8, "inner/conv": 4, "conv_1": 32, "conv_1_1": 4, "sep": 8, "rest": 32, "logits": 8}


def tangled():
    """A shared layer, a model that is called twice and has a layer of the same name, names with numbers behind them."""
    inner = [layers.Conv2D(4, 3, padding="same", name="conv"), layers.DepthwiseConv2D(3, padding="same", name="deep")]
    inner = keras.Sequential([keras.Input((8, 8, 4)), *inner], name="inner")
    image = keras.Input((8, 8, 4), name="image")
    shared = layers.Conv2D(4, 3, padding="same", name="conv")
    x = inner(inner(shared(shared(image))))
    x = layers.SeparableConv2D(5, 3, name="sep")(layers.Conv2D(6, 3, name="conv_1")(x))
    x = layers.Dense(10, name="conv_1_1")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Dense(3, name="logits")(layers.Dense(7, name="rest")(x)))


def stored(path):
    """The types and shapes of the tensors of a file, pairs; shapes without ones."""
    graph = schema.Model.GetRootAs(path.read_bytes(), 0).Subgraphs(0)
    names = {code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    return {(names[x.Type()], tuple(int(n) for n in x.ShapeAsNumpy() if n != 1)) for x in tensors if x.ShapeLength()}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    keras.utils.set_random_seed(0)
    data = np.random.default_rng(0).normal(size=(16, 8, 8, 4)).astype("float32")
    folder = tmp_path_factory.mktemp("bits")
    return export(tangled(), folder, ("float32", "int8_dynamic", "int4_weights"), data, weight_bits=BITS)


# Shapes as TFLite stores them: output channels first, a depthwise kernel's last.
@pytest.mark.parametrize("quantization", ["int8_dynamic", "int4_weights"])
def test_each_layer_has_its_bits(result, quantization):
    types = stored(result[quantization].path)
    for name, shape in (("float32", (6, 3, 3, 4)), ("float32", (7, 10)), ("int8", (3, 7)), ("int8", (5, 6))):
        assert (name, shape) in types
    # Depthwise, for which there is no kernel of four bits.
    assert ("int8", (3, 3, 6)) in types and ("int8", (3, 3, 4)) in types
    # The two of one shape: 8 bits the shared one, 4 that of the model inside.
    assert {name for name, shape in types if shape == (4, 3, 3, 4)} == {"int8", "int4"}
    assert ("int4", (10, 5)) in types
    assert {name for name, shape in types if shape == (10, 5)} == {"int4"}


def test_what_stays_in_float_is_told_and_names_stay(result):
    for quantization in ("int8_dynamic", "int4_weights"):
        left = sorted(name.split("__")[0].rpartition("/")[2] for name in result[quantization].float_weights)
        assert left == ["conv_1", "rest"]
        runner = LiteRT(model_path=str(result[quantization].path)).get_signature_runner()
        assert list(runner.get_output_details()) == ["logits"]


@pytest.mark.parametrize(
    "weight_bits, quantization",
    [
        ({"dense": 4}, "int4_weights"),
        ({"logits": 5}, "int4_weights"),
        ({"logits": 8}, "float32"),
        ([8], "int4_weights"),
    ],
)
def test_bits_that_nothing_heeds_are_refused(tmp_path, weight_bits, quantization):
    with pytest.raises(ValueError, match=r"weight_bits.*conv_1_1, .*int8_dynamic or int4_weights. Received"):
        export(tangled(), tmp_path / "new", quantization, weight_bits=weight_bits)
    assert not (tmp_path / "new").exists()
