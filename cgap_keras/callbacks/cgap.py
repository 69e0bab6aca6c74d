"""Grow, then prune, then fine-tune: the method as one callback."""

from cgap_keras.callbacks.structure import StructureCallback
from cgap_keras.policy.budget import as_budget
from cgap_keras.policy.growth import GrowthPolicy
from cgap_keras.policy.pruning import PruningPolicy


class CGaP(StructureCallback):
    """Continuous growth and pruning inside one `model.fit`.

    Training starts from a small seed network. Every few epochs the units that matter most get a sibling, until the
    network has reached its capacity; then the units that matter least are removed in steps, down to the target; the
    epochs that are left fine-tune the result. The model stays the same object throughout, optimizer state is carried
    across each edit, and a line tells each edit. The method is that of Du, Li, Ma, Cao, "Efficient Network Construction
    through Structural Plasticity", IEEE JETCAS 2019.

    Pruning leaves widths on which devices work well, multiples of 8 from 32 units on, see
    `cgap_keras.PruningPolicy.round_to`. More can be chosen with `cgap_keras.StructureCallback`.

    Args:
        capacity: Parameters at which growth ends, or a `cgap_keras.Budget`; never exceeded.
        target: Parameters at which pruning ends, or a `cgap_keras.Budget`; the finished network costs at most this.
        growth_rate: The share of each group's units that get a sibling at one growth edit, in (0, 1]. Defaults to 0.5.
        prune_steps: Over how many edits the network is pruned. Defaults to 5.
        every: Epochs between edits, `cgap_keras.Steps` or `cgap_keras.Plateau`; or two of these, for growth and for
            pruning, where that of pruning begins when growth has ended. Defaults to 1.
        criterion: How a unit's saliency is measured: the name of a criterion, or a `cgap_keras.Criterion`. Defaults to
            `"taylor"`, which looks at the gradients of training.
        seed: Integer seed of the noise that tells a new unit from its parent; `None` draws another at every run.

    Raises:
        ValueError: If an argument is out of its range, or, when training begins, if the model has nothing to resize,
            its optimizer's state cannot be carried, or the target is out of reach.

    Example:

    ```python
    cgap = cgap_keras.CGaP(capacity=60_000, target=20_000, seed=0)
    model.fit(x, y, epochs=40, callbacks=[cgap])
    print(cgap_keras.cost(model).params, [edit.widths for edit in cgap.history])
    ```
    """

    def __init__(self, capacity, target, growth_rate=0.5, prune_steps=5, every=1, criterion="taylor", seed=None):
        phases = (GrowthPolicy(capacity, growth_rate), PruningPolicy(target, prune_steps))
        most, least = as_budget("capacity", capacity), as_budget("target", target)
        if most.currency == least.currency and least.amount > most.amount:
            raise ValueError(f"`target` must be at most `capacity`. Received: target={target}, capacity={capacity}")
        super().__init__(phases, every=every, criterion=criterion, seed=seed)
