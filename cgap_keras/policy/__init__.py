"""When to edit, how many units, until what."""

from cgap_keras.policy.budget import WidthCost
from cgap_keras.policy.growth import GrowthPolicy
from cgap_keras.policy.pruning import PruningPolicy

__all__ = ["GrowthPolicy", "PruningPolicy", "WidthCost"]
