"""Which units matter."""

from cgap_keras.saliency.criteria import CRITERIA, Criterion
from cgap_keras.saliency.observer import GradientObserver
from cgap_keras.saliency.scoring import score, score_weights

__all__ = ["CRITERIA", "Criterion", "GradientObserver", "score", "score_weights"]
