"""Grow and prune Keras 3 models while they train."""

from cgap_keras import zoo
from cgap_keras.callbacks.backup.backup_and_restore import BackupAndRestore
from cgap_keras.callbacks.cgap import CGaP
from cgap_keras.cost import Cost, LayerCost, cost
from cgap_keras.structure.groups import ChannelGroup, VariableAxis, find_groups
from cgap_keras.structure.registry import register_rule
from cgap_keras.surgery.apply import Report, apply
from cgap_keras.surgery.plan import Plan
from cgap_keras.surgery.rebuild import rebuild

__version__ = "0.1.0"

__all__ = [
    "BackupAndRestore",
    "CGaP",
    "ChannelGroup",
    "Cost",
    "LayerCost",
    "Plan",
    "Report",
    "VariableAxis",
    "apply",
    "cost",
    "find_groups",
    "rebuild",
    "register_rule",
    "zoo",
]
