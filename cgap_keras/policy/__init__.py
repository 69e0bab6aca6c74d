"""When to edit, how many units, until what."""

from cgap_keras.policy.budget import Budget
from cgap_keras.policy.growth import GrowthPolicy
from cgap_keras.policy.pruning import PruningPolicy
from cgap_keras.policy.width_cost import WidthCost

__all__ = ["Budget", "GrowthPolicy", "PruningPolicy", "WidthCost"]
