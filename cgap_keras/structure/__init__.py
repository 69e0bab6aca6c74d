"""What is in a model: its graph, its channel groups, and one rule for each layer family."""

from cgap_keras.structure.graph import trace
from cgap_keras.structure.groups import ChannelGroup, SizeKey, VariableAxis, find_groups, find_variables
from cgap_keras.structure.registry import register_rule

__all__ = ["ChannelGroup", "SizeKey", "VariableAxis", "find_groups", "find_variables", "register_rule", "trace"]
