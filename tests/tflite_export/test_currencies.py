"""Networks that are pruned to what their file costs."""

import keras
import pytest
from keras import layers

import cgap_keras
from tflite_export import export, file_bytes, latency_ms


def test_a_network_is_pruned_to_a_size_of_its_file(tmp_path, samples, labels):
    image = keras.Input((12, 12, 3), name="image")
    hidden = layers.Dense(16, activation="relu", name="hidden")(layers.Flatten()(image))
    model = keras.Model(image, layers.Dense(10)(hidden))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    target = cgap_keras.Budget(6 * 1024, file_bytes("int8", samples[:4]))
    pruning = cgap_keras.Pruning(target, 1, every=1, criterion="l2")
    model.fit(samples, labels, epochs=2, verbose=0, callbacks=[pruning])
    assert pruning.finished
    made = export(model, tmp_path, "int8", samples[:4])["int8"].bytes
    # As wide as the size allows: the next width that may be kept, 4 units more, would not do.
    assert made <= 6 * 1024 < made + 4 * (12 * 12 * 3 + 10)


def test_latency_is_that_of_the_file(exported):
    model, result = exported
    assert 0 < latency_ms()(model) < 20 * result["float32"].latency_ms


def test_what_cannot_be_made_is_refused_before_any_model_is_there():
    with pytest.raises(ValueError, match="need `representative_data`"):
        file_bytes("int8")
    with pytest.raises(ValueError, match="Received: quantization="):
        latency_ms("int9")
