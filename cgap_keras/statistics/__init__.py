"""Statistics of batch normalisation: taken anew from data, or corrected in training."""

from cgap_keras.statistics.reestimation import reestimate_statistics

__all__ = ["reestimate_statistics"]
