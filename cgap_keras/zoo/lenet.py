"""LeNet-5, in the form that the pruning literature uses."""

import keras
from keras import layers

from cgap_keras.zoo.blocks import check_input_shape, classifier, scaled


def lenet5(input_shape=(28, 28, 1), num_classes=10, width=1.0, name="lenet5"):
    """LeNet-5 with 20 and 50 filters and 500 neurons: 431,080 parameters, 2.293 M MACs.

    Two unpadded 5 x 5 convolutions, each followed by max pooling, and one hidden dense layer. Source: LeCun et al.,
    "Gradient-Based Learning Applied to Document Recognition", 1998, with the widths of the Caffe example `mnist/lenet`,
    which pruning papers take.

    Args:
        input_shape: Height, width and channels; height and width at least 16 pixels.
        num_classes: Number of logits.
        width: The share of the units to build; `zoo.SEED_WIDTH` makes a seed.
        name: Name of the model.

    Returns:
        A `keras.Model` that maps images to logits.

    Raises:
        ValueError: If `input_shape` or `width` does not fit.

    Example:

    ```python
    seed = lenet5(width=SEED_WIDTH)  # 5 and 12 filters, 125 neurons
    ```
    """
    check_input_shape(input_shape, "LeNet-5", smallest=16)
    inputs = keras.Input(input_shape, name="image")
    x = inputs
    for number, filters in enumerate((20, 50), start=1):
        x = layers.Conv2D(scaled(filters, width), 5, activation="relu", name=f"conv{number}")(x)
        x = layers.MaxPooling2D(name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(scaled(500, width), activation="relu", name="dense1")(x)
    return keras.Model(inputs, classifier(x, num_classes), name=name)
