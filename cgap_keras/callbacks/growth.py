"""Growth alone, as a callback."""

from cgap_keras.callbacks.structure import StructureCallback
from cgap_keras.policy.growth import GrowthPolicy


class Growth(StructureCallback):
    """Grows a small network inside `model.fit`, up to a capacity.

    The first half of `cgap_keras.CGaP`, for a network that is to become as large as it may be, with its units where
    they matter.

    Args:
        capacity: Parameters at which growth ends, or a `cgap_keras.Budget`; never exceeded.
        growth_rate: The share of each group's units that get a sibling at one edit, in (0, 1]. Defaults to 0.5.
        new_units: How new units are made, `"split"`, `"zero"` or `"cgap"`, see `cgap_keras.apply`. Defaults to
            `"split"`.
        every: Epochs between edits, `cgap_keras.Steps` or `cgap_keras.Plateau`. Defaults to 1.
        criterion: How a unit's saliency is measured, see `cgap_keras.CGaP`. Defaults to `"taylor"`.
        seed: Integer seed of the noise that tells a new unit from its parent; `None` draws another at every run.

    Raises:
        ValueError: As `cgap_keras.CGaP` does.

    Example:

    ```python
    seed_network = cgap_keras.zoo.resnet20(width=cgap_keras.zoo.SEED_WIDTH)
    seed_network.compile("adam", loss)
    growth = cgap_keras.Growth(capacity=cgap_keras.Budget(20e6, "macs"), seed=0)
    seed_network.fit(x, y, epochs=40, callbacks=[growth])
    ```
    """

    def __init__(self, capacity, growth_rate=0.5, new_units="split", every=1, criterion="taylor", seed=None):
        phases = (GrowthPolicy(capacity, growth_rate, new_units),)
        super().__init__(phases, every=every, criterion=criterion, seed=seed)
