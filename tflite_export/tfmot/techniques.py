"""What tensorflow-model-optimization is asked for: values that go to the child process as JSON.

Names and defaults are those of tensorflow-model-optimization 0.8, so its documentation holds.
"""

import dataclasses


def _is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pair(value):
    return isinstance(value, tuple | list) and len(value) == 2 and all(map(_is_int, value))


def _check_share(name, value):
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"`{name}` must be a share between 0 and 1, 1 excluded. Received: {name}={value!r}")


def _check_steps(schedule):
    for name, least in (("begin_step", 0), ("frequency", 1)):
        value = getattr(schedule, name)
        if not _is_int(value) or value < least:
            raise ValueError(f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}")


@dataclasses.dataclass(frozen=True)
class ConstantSparsity:
    """`tfmot.sparsity.keras.ConstantSparsity`: the same share of zeros from the first step on.

    Attributes:
        target_sparsity: The share of the weights of each layer that become zero.
        begin_step: The step at which it begins.
        frequency: The steps between two choices of the weights.
    """

    target_sparsity: float = 0.5
    begin_step: int = 0
    frequency: int = 100

    def __post_init__(self):
        _check_share("target_sparsity", self.target_sparsity)
        _check_steps(self)


@dataclasses.dataclass(frozen=True)
class PolynomialDecay:
    """`tfmot.sparsity.keras.PolynomialDecay`: a share of zeros that rises fast first, and slower to its end.

    Attributes:
        initial_sparsity: The share of the weights of each layer that are zero at `begin_step`.
        final_sparsity: The share at `end_step`, and behind.
        begin_step: The step at which it begins.
        end_step: The step at which it ends; `None` stands for three quarters of the training.
        power: The exponent of the polynomial.
        frequency: The steps between two choices of the weights.
    """

    initial_sparsity: float = 0.0
    final_sparsity: float = 0.5
    begin_step: int = 0
    end_step: int | None = None
    power: float = 3
    frequency: int = 100

    def __post_init__(self):
        _check_share("initial_sparsity", self.initial_sparsity)
        _check_share("final_sparsity", self.final_sparsity)
        _check_steps(self)
        if self.end_step is not None and self.end_step <= self.begin_step:
            raise ValueError(
                "`end_step` must come after `begin_step`. "
                f"Received: end_step={self.end_step}, begin_step={self.begin_step}"
            )


@dataclasses.dataclass(frozen=True)
class PruneLowMagnitude:
    """`tfmot.sparsity.keras.prune_low_magnitude`: single weights of small magnitude become zero.

    Attributes:
        pruning_schedule: A `PolynomialDecay` or `ConstantSparsity`.
        sparsity_m_by_n: A pair such as (2, 4): of each 4 weights in a row at least 2 become zero, in place of a share.
    """

    pruning_schedule: ConstantSparsity | PolynomialDecay = PolynomialDecay()
    sparsity_m_by_n: tuple | None = None

    def __post_init__(self):
        if not isinstance(self.pruning_schedule, ConstantSparsity | PolynomialDecay):
            raise TypeError(
                "`pruning_schedule` must be a `ConstantSparsity` or a `PolynomialDecay`. "
                f"Received: pruning_schedule={self.pruning_schedule!r}"
            )
        pair = self.sparsity_m_by_n
        if pair is not None and not (_is_pair(pair) and 0 < pair[0] < pair[1]):
            raise ValueError(f"`sparsity_m_by_n` must be two integers, m < n. Received: sparsity_m_by_n={pair!r}")


@dataclasses.dataclass(frozen=True)
class ClusterWeights:
    """`tfmot.clustering.keras.cluster_weights`: the weights of a layer share a few values.

    Weights that are zero stay zero behind `PruneLowMagnitude`.

    Attributes:
        number_of_clusters: How many values a layer has, 2 or more.
        cluster_centroids_init: How the values begin, a name in `tfmot.clustering.keras.CentroidInitialization`.
    """

    number_of_clusters: int = 16
    cluster_centroids_init: str = "KMEANS_PLUS_PLUS"

    def __post_init__(self):
        known = ("LINEAR", "RANDOM", "DENSITY_BASED", "KMEANS_PLUS_PLUS")
        if not _is_int(self.number_of_clusters) or self.number_of_clusters < 2:
            raise ValueError(
                "`number_of_clusters` must be an integer of at least 2. "
                f"Received: number_of_clusters={self.number_of_clusters!r}"
            )
        if self.cluster_centroids_init not in known:
            raise ValueError(
                f"`cluster_centroids_init` must be one of {', '.join(known)}. "
                f"Received: cluster_centroids_init={self.cluster_centroids_init!r}"
            )


@dataclasses.dataclass(frozen=True)
class QuantizeModel:
    """`tfmot.quantization.keras.quantize_model`: training that feels the rounding to int8.

    Behind `PruneLowMagnitude` and `ClusterWeights`, zeros and shared values stay (what tfmot calls PQAT,
    CQAT and PCQAT).
    """


def check_techniques(techniques):
    """Refuses what is no technique, or an order that tensorflow-model-optimization cannot keep.

    Args:
        techniques: One technique or a sequence of them.

    Returns:
        A tuple.

    Raises:
        TypeError: If one is no technique.
        ValueError: If there is none, one comes twice, or the order is another one.
    """
    order = (PruneLowMagnitude, ClusterWeights, QuantizeModel)
    techniques = (techniques,) if isinstance(techniques, order) else tuple(techniques)
    for technique in techniques:
        if not isinstance(technique, order):
            raise TypeError(
                f"`techniques` must be {', '.join(kind.__name__ for kind in order)}. Received: {technique!r}"
            )
    places = [order.index(type(technique)) for technique in techniques]
    if not places or places != sorted(set(places)):
        raise ValueError(
            "`techniques` must be one or more, none twice, in the order "
            f"{', '.join(kind.__name__ for kind in order)}: each keeps what the one before has made. "
            f"Received: techniques={techniques!r}"
        )
    return techniques


def to_json(technique):
    """A technique as a dict that JSON can hold: its class, and its arguments by name."""
    arguments = {field.name: getattr(technique, field.name) for field in dataclasses.fields(technique)}
    nested = {name: to_json(value) if dataclasses.is_dataclass(value) else value for name, value in arguments.items()}
    return {"class": type(technique).__name__, **nested}
