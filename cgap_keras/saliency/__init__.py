"""Which units matter."""

from cgap_keras.saliency.criteria import CRITERIA, Criterion, apoz, register_criterion
from cgap_keras.saliency.observer import GradientObserver
from cgap_keras.saliency.scoring import score, score_weights
from cgap_keras.saliency.slices import Slices

__all__ = [
    "CRITERIA",
    "Criterion",
    "GradientObserver",
    "Slices",
    "apoz",
    "register_criterion",
    "score",
    "score_weights",
]
