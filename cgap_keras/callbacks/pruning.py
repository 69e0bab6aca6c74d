"""Pruning alone, as a callback."""

from cgap_keras.callbacks.structure import StructureCallback
from cgap_keras.policy.pruning import PruningPolicy


class Pruning(StructureCallback):
    """Prunes a network inside `model.fit`, down to a target.

    The second half of `cgap_keras.CGaP`, for a network that is trained already: saliency is gathered while it trains
    on, and the epochs behind the last edit fine-tune it.

    Args:
        target: Parameters at which pruning ends, or a `cgap_keras.Budget`; the finished network costs at most this.
        steps: Over how many edits the network is pruned. Defaults to 5.
        schedule: How far each edit goes: `"exponential"` (steps of equal ratio), `"linear"` (of equal amount) or
            `"polynomial"` (cubic: large ones first). Defaults to `"exponential"`.
        round_to: Kept widths are multiples of this, and of smaller powers of two where they are less than four times as
            large, see `cgap_keras.PruningPolicy`. A power of two; 1 keeps any width. Defaults to 8.
        every: Epochs between edits, `cgap_keras.Steps` or `cgap_keras.Plateau`. Defaults to 1.
        criterion: How a unit's saliency is measured, see `cgap_keras.CGaP`. Defaults to `"taylor"`.
        seed: Integer seed of a criterion that draws random numbers; no other does.

    Raises:
        ValueError: As `cgap_keras.CGaP` does.

    Example:

    ```python
    model = keras.models.load_model("dense.keras")  # trained and compiled
    half = 0.5 * cgap_keras.cost(model).macs
    model.fit(x, y, epochs=20, callbacks=[cgap_keras.Pruning(cgap_keras.Budget(half, "macs"))])
    ```
    """

    def __init__(self, target, steps=5, schedule="exponential", round_to=8, every=1, criterion="taylor", seed=None):
        phases = (PruningPolicy(target, steps, schedule, round_to),)
        super().__init__(phases, every=every, criterion=criterion, seed=seed)
