"""Grow and prune Keras 3 models while they train."""

from cgap_keras import zoo
from cgap_keras.callbacks.backup.backup_and_restore import BackupAndRestore
from cgap_keras.callbacks.cgap import CGaP
from cgap_keras.callbacks.growth import Growth
from cgap_keras.callbacks.pruning import Pruning
from cgap_keras.callbacks.structure import StructureCallback
from cgap_keras.callbacks.triggers import Plateau, Steps
from cgap_keras.cost import Cost, LayerCost, cost
from cgap_keras.policy.budget import Budget
from cgap_keras.policy.growth import GrowthPolicy
from cgap_keras.policy.pruning import PruningPolicy
from cgap_keras.saliency.criteria import Criterion, register_criterion
from cgap_keras.statistics import reestimate_statistics
from cgap_keras.structure.groups import ChannelGroup, VariableAxis, find_groups
from cgap_keras.structure.registry import register_rule
from cgap_keras.surgery.apply import Report, apply
from cgap_keras.surgery.plan import Plan
from cgap_keras.surgery.rebuild import rebuild

__version__ = "0.1.0"

__all__ = [
    "BackupAndRestore",
    "Budget",
    "CGaP",
    "ChannelGroup",
    "Cost",
    "Criterion",
    "Growth",
    "GrowthPolicy",
    "LayerCost",
    "Plan",
    "Plateau",
    "Pruning",
    "PruningPolicy",
    "Report",
    "Steps",
    "StructureCallback",
    "VariableAxis",
    "apply",
    "cost",
    "find_groups",
    "rebuild",
    "reestimate_statistics",
    "register_criterion",
    "register_rule",
    "zoo",
]
