"""What a network is trained with when nobody says otherwise. Imports nothing heavy.

The values are those in common use for these networks, and have not been tuned here.
"""

import dataclasses

# Those of `methods.METHODS`.
METHODS = ("dense", "narrow", "retrain", "prune", "cgap")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train a network.

    Attributes:
        optimizer: `"sgd"` or `"adam"`.
        learning_rate: Its peak.
        batch_size: Images a step.
        epochs: Epochs.
        capacity: Where growth ends, as a share of the dense network's cost.
        target: Where pruning ends, likewise.
    """

    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: int
    capacity: float
    target: float


_RESNET = Recipe("sgd", 0.1, 128, 160, capacity=0.7, target=0.4)
_VGG = Recipe("sgd", 0.05, 128, 160, capacity=0.7, target=0.4)
RECIPES = {
    "digits_cnn": Recipe("adam", 2e-3, 32, 40, capacity=0.4, target=0.2),
    "mnist_cnn": Recipe("sgd", 0.1, 64, 30, capacity=0.4, target=0.26),
    "lenet5": Recipe("adam", 1e-3, 128, 30, capacity=0.4, target=0.2),
    "mobilenet": Recipe("sgd", 0.1, 128, 160, capacity=0.7, target=0.4),
    **dict.fromkeys(("resnet20", "resnet32", "resnet44", "resnet56", "resnet110"), _RESNET),
    **dict.fromkeys(("vgg11", "vgg13", "vgg16", "vgg19"), _VGG),
}

# Digits must not be mirrored; what things are worn or seen in may be.
_AUGMENTATIONS = {
    "digits": "shift",
    "mnist": "shift",
    "svhn_cropped": "shift",
    "fashion_mnist": "cifar",
    "cifar10": "cifar",
    "cifar100": "cifar",
}


def complete(settings):
    """Settings with the recipe's value in place of each `None` for which it has one.

    Args:
        settings: `{name: value}`, with the `model` and the `dataset` at least.

    Returns:
        A new dictionary.
    """
    recipe = dataclasses.asdict(RECIPES[settings["model"]])
    recipe["augmentation"] = _AUGMENTATIONS.get(settings["dataset"], "none")
    return {name: recipe.get(name) if value is None else value for name, value in settings.items()}
