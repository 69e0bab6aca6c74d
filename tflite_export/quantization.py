"""The ways to quantize: one row of a table for each.

A row says how the file is made, how far its outputs may be from the Keras model's, and what it needs. A new way to
quantize is a new row; nothing else names one.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class Source:
    """What a file is made from.

    Attributes:
        saved_model: The directory of a SavedModel with one signature.
        calibration: Samples that set the ranges of the activations, each a dict from input name to an array with
            batch size 1; empty where there are none.
        integer_io: Whether a file of integers takes and returns integers too.
        bits: Dict from the mark of a layer to the bits of its weights, where they are to be others than the rest's.
    """

    saved_model: str
    calibration: tuple = ()
    integer_io: bool = False
    bits: Mapping = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def float32(self):
        """The bytes of the float32 file, which others are made from."""
        return self.converter().convert()

    def converter(self):
        """A fresh converter; one is good for one conversion."""
        import tensorflow as tf

        return tf.lite.TFLiteConverter.from_saved_model(self.saved_model)


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far a file's outputs may be from the Keras model's, each figure as a share of the output's range.

    The range of an output is its greatest minus its least value over the verification data. Errors of rounding grow
    with the values that flow through a network, so a bound in absolute numbers would suit one network only. An output
    may differ by two steps of its grid besides, of integers or of float32 numbers, whatever the tolerance.

    Attributes:
        max_error: The greatest difference.
        mean_error: The mean difference.
        agreement: The share of the decided samples on which the largest output must be the same. A sample is decided
            where the Keras model's largest output leads by more than twice `mean_error`; near a tie, rounding alone
            can change the order.
    """

    max_error: float
    mean_error: float
    agreement: float = 0.95


@dataclasses.dataclass(frozen=True)
class Quantization:
    """One way to quantize.

    Attributes:
        name: How a caller asks for it; also the name of the file.
        summary: What becomes of weights and activations, for a person.
        build: Makes the bytes of the file from a `Source`.
        tolerance: The bound of the verification.
        weights: The type of the weights in the file, as TFLite spells it.
        activations: The integer type of the activations, or `None` where they are float. A file with integer
            activations may hold no float tensor but its inputs and outputs.
        needs_data: Whether `representative_data` is needed to make it.
        by_layer: Whether single layers can have weights of other bits.
    """

    name: str
    summary: str
    build: Callable
    tolerance: Tolerance
    weights: str
    activations: str | None = None
    needs_data: bool = False
    by_layer: bool = False


def _float32(source):
    return source.float32


def _float16(source):
    import tensorflow as tf

    converter = source.converter()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _int8_dynamic(source):
    # The converter's own dynamic-range mode leaves every weight of fewer than 1024 elements in float without a word.
    return _by_recipe(source, 8)


def _int4_weights(source):
    return _by_recipe(source, 4)


def _by_recipe(source, bits):
    """A file whose weights have so many bits, those of single layers as `source.bits` says."""
    from litert_quantizer import quantizer, recipe_manager

    from tflite_export.layer_bits import operators_by_mark

    manager = recipe_manager.RecipeManager()
    _add_bits(manager, ".*", bits)
    operators = operators_by_mark(source.float32)
    for mark, own_bits in source.bits.items():
        for output in operators.get(mark, ()):
            # The quantizer ends each name of an operator's outputs so.
            _add_bits(manager, f"^{re.escape(output)};$", own_bits)
    tool = quantizer.Quantizer(bytearray(source.float32))
    tool.load_quantization_recipe(manager.get_quantization_recipe())
    return bytes(tool.quantize().quantized_model)


def _add_bits(manager, regex, bits):
    """Tells a recipe the bits of the weights of some operators; where two apply, the later one holds."""
    from litert_quantizer import qtyping, recipe_manager

    everything = qtyping.TFLOperationName.ALL_SUPPORTED
    if bits == 32:
        none = recipe_manager.AlgorithmName.NO_QUANTIZE
        manager.add_quantization_config(regex, everything, algorithm_key=none)
        return
    # What there is no kernel of four bits for has eight: the quantizer passes over a rule that it cannot follow. It
    # keeps one rule for each regular expression, so the second is spelt another way.
    manager.add_dynamic_config(regex, everything, 8)
    if bits != 8:
        manager.add_dynamic_config(f"(?:{regex})", everything, bits)


def _int8(source):
    import tensorflow as tf

    return _integer(source, tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.int8)


def _int16x8(source):
    import tensorflow as tf

    return _integer(source, tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, tf.int16)


def _integer(source, kernels, io_type):
    import tensorflow as tf

    converter = source.converter()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter(source.calibration)
    converter.target_spec.supported_ops = [kernels]
    if source.integer_io:
        converter.inference_input_type = converter.inference_output_type = io_type
    return converter.convert()


# What VGG-like, residual (8 to 56 layers) and depthwise networks showed at most, trained and untrained, as a share of
# the range, greatest and mean: float32 8e-7 and 1e-7; float16 2e-3 and 2e-4; int8_dynamic 4e-2 and 3e-3; int8 1.3e-1
# and 8e-3; int16x8 1.3e-1 and 3e-3; int4_weights, of two residual, two plain and a depthwise one, 2.4e-1 and 7e-2. The
# bounds of the mean are some three to a hundred times that, and below what a wrong graph shows, which is off by a good
# part of the range. The greatest error of the integer files is bounded loosely: behind a softmax, a small error of the
# logits moves a probability near a tie by up to a half.
QUANTIZATIONS = {
    row.name: row
    for row in (
        Quantization("float32", "weights and activations float32", _float32, Tolerance(1e-4, 1e-5, 0.99), "FLOAT32"),
        Quantization(
            "float16", "weights float16, activations float32", _float16, Tolerance(2e-2, 5e-3, 0.99), "FLOAT16"
        ),
        Quantization(
            "int8_dynamic",
            "weights int8, activations float32, quantized on the fly",
            _int8_dynamic,
            Tolerance(0.5, 0.03, 0.95),
            "INT8",
            by_layer=True,
        ),
        Quantization(
            "int4_weights",
            "weights int4, one scale a channel, int8 in depthwise convolutions; activations as above",
            _int4_weights,
            Tolerance(0.8, 0.2, 0.9),
            "INT4",
            by_layer=True,
        ),
        Quantization(
            "int8",
            "weights and activations int8",
            _int8,
            Tolerance(0.5, 0.05, 0.95),
            "INT8",
            activations="INT8",
            needs_data=True,
        ),
        Quantization(
            "int16x8",
            "weights int8, activations int16",
            _int16x8,
            Tolerance(0.5, 0.03, 0.95),
            "INT8",
            activations="INT16",
            needs_data=True,
        ),
    )
}


def lookup(quantization):
    """The rows that a caller asks for.

    Args:
        quantization: One name or a sequence of names.

    Returns:
        A tuple of `Quantization`, in the order asked.

    Raises:
        ValueError: If a name is unknown or given twice, or there is none.
    """
    names = (quantization,) if isinstance(quantization, str) else tuple(quantization)
    unknown = [name for name in names if name not in QUANTIZATIONS]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            f"`quantization` must hold one or more different names out of {', '.join(QUANTIZATIONS)}. "
            f"Received: quantization={quantization!r}"
        )
    return tuple(QUANTIZATIONS[name] for name in names)


def check_data(rows, has_data):
    """Refuses rows that need representative data where there are none.

    Args:
        rows: A sequence of `Quantization`.
        has_data: Whether there are representative data.

    Raises:
        ValueError: Names the rows.
    """
    needy = [row.name for row in rows if row.needs_data]
    if needy and not has_data:
        raise ValueError(
            f"{', '.join(needy)} need `representative_data`: some hundred samples as the model will see them, which "
            "set the ranges of the activations. Received: representative_data=None"
        )
