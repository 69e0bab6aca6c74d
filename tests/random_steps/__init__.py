"""The operations of which random models are made: every layer family that has a rule, in every variety."""

from tests.random_steps import channels, kernels, layouts, operations, pairs, parts, sequences
from tests.random_steps.bench import STEPS, Pick, classify

__all__ = ["STEPS", "Pick", "channels", "classify", "kernels", "layouts", "operations", "pairs", "parts", "sequences"]
