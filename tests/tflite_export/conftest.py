"""One small model and one conversion that the tests of the exporter share: a child process starts in seconds."""

import keras
import numpy as np
import pytest
from keras import layers

SAMPLES = 48


@pytest.fixture(scope="session")
def make_model():
    """Builds a network with what the exporter meets: convolution, batch norm, residual sum, depthwise convolution."""

    def make():
        keras.utils.set_random_seed(3)
        image = keras.Input((12, 12, 3), name="image")
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(image)))
        y = layers.DepthwiseConv2D(3, padding="same")(x)
        y = layers.Conv2D(8, 1)(layers.ReLU(6.0)(layers.BatchNormalization()(y)))
        x = layers.MaxPooling2D()(layers.ReLU()(layers.Add()([x, y])))
        x = layers.Conv2D(32, 3, activation="relu")(x)
        model = keras.Model(image, layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(x)), name="small")
        # As after a training: statistics that are not those of initialization, or folding them would not show.
        generator = np.random.default_rng(4)
        for layer in model.layers:
            if isinstance(layer, layers.BatchNormalization):
                weights = [generator.uniform(0.5, 1.5, w.shape).astype("float32") for w in layer.get_weights()]
                layer.set_weights(weights)
        return model

    return make


@pytest.fixture(scope="session")
def samples():
    return np.random.default_rng(5).normal(size=(SAMPLES, 12, 12, 3)).astype("float32")


@pytest.fixture(scope="session")
def labels():
    return np.random.default_rng(6).integers(0, 10, SAMPLES)


@pytest.fixture(scope="session")
def exported(make_model, samples, labels, tmp_path_factory):
    """The model, and the result of its export in every quantization."""
    from tflite_export import QUANTIZATIONS, export

    model = make_model()
    return model, export(model, tmp_path_factory.mktemp("exported"), tuple(QUANTIZATIONS), samples, labels)
