"""Networks that the literature on growing and pruning measures itself on, at their full widths and as narrow seeds.

Each is a function `(input_shape, num_classes, width, name)` that returns a functional `keras.Model`. `width` scales
every layer but the last: 1.0 is the published network, `SEED_WIDTH` the seed that growth starts from. The models return
logits, so train them with `from_logits=True`: a softmax would not change which class wins, costs accuracy in a
quantized file, and hides small differences between two versions of a network.
"""

from cgap_keras.zoo.blocks import SEED_WIDTH
from cgap_keras.zoo.digits import digits_cnn
from cgap_keras.zoo.lenet import lenet5
from cgap_keras.zoo.mnist import mnist_cnn
from cgap_keras.zoo.mobilenet import mobilenet
from cgap_keras.zoo.resnet import resnet20, resnet32, resnet44, resnet56, resnet110
from cgap_keras.zoo.vgg import vgg11, vgg13, vgg16, vgg19

_NETWORKS = (
    digits_cnn,
    lenet5,
    mnist_cnn,
    mobilenet,
    resnet20,
    resnet32,
    resnet44,
    resnet56,
    resnet110,
    vgg11,
    vgg13,
    vgg16,
    vgg19,
)


def names():
    """The names of the networks, as `get` takes them: a tuple of strings."""
    return tuple(network.__name__ for network in _NETWORKS)


def get(name):
    """The function that builds a network.

    Args:
        name: One of `names()`.

    Returns:
        A function that returns a `keras.Model`.

    Raises:
        ValueError: If there is no network of that name.

    Example:

    ```python
    model = zoo.get("resnet20")(num_classes=10, width=zoo.SEED_WIDTH)
    ```
    """
    if name not in names():
        raise ValueError(f"`name` must be one of {', '.join(names())}. Received: name={name!r}")
    return _NETWORKS[names().index(name)]


__all__ = [
    "SEED_WIDTH",
    "digits_cnn",
    "get",
    "lenet5",
    "mnist_cnn",
    "mobilenet",
    "names",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
]
