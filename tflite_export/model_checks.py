"""What a model must be so that files can be made from it: float32 throughout, and finite."""

import keras
import numpy as np

from cgap_keras.structure.graph import trace
from tflite_export.signature import read_signature


def check_model(model):
    """Refuses a model that no file can be made from.

    Args:
        model: What a caller gives as one.

    Returns:
        Its `Signature`.

    Raises:
        TypeError: If it is no functional or Sequential model.
        ValueError: If a layer does not compute in float32, or a weight is not finite.
    """
    signature = read_signature(model)
    check_layers(model)
    check_weights(model)
    return signature


def check_layers(model):
    """Refuses a model with layers that do not compute in float32.

    Args:
        model: A built functional or Sequential `keras.Model`.

    Raises:
        ValueError: If a layer computes in another float type or is quantized already; names the layer.
    """
    for call in trace(model).calls:
        policy = getattr(call.operation, "dtype_policy", None)
        if getattr(policy, "quantization_mode", None):
            raise ValueError(
                f"The layer {call.path!r} is quantized by Keras already, which the converter cannot read. Export the "
                "model as it was before `quantize`, and choose `quantization` here. "
                f"Received: dtype_policy={policy.name!r}"
            )
        if getattr(policy, "compute_dtype", "float32") in ("float16", "bfloat16", "float64"):
            raise ValueError(
                f"The layer {call.path!r} computes in {policy.compute_dtype}; files are made from float32. Rebuild it "
                "under `keras.config.set_dtype_policy('float32')` and copy the weights with `set_weights`. "
                f"Received: dtype_policy={policy.name!r}"
            )


def check_weights(model):
    """Refuses a model with a weight that is NaN or infinite.

    Args:
        model: A built `keras.Model`.

    Raises:
        ValueError: Names the first such weight.
    """
    for variable in model.weights:
        values = keras.ops.convert_to_numpy(variable)
        broken = 0 if values.dtype.kind in "biu" else np.count_nonzero(~np.isfinite(values))
        if broken:
            raise ValueError(
                f"The weights of the model must be finite. Received: model={model.name!r}, whose {variable.path!r} "
                f"holds {broken} values that are NaN or infinite"
            )
