"""What changes a model: plans, and carrying them out in place or on a copy."""

from cgap_keras.surgery.apply import Report, apply
from cgap_keras.surgery.plan import Plan
from cgap_keras.surgery.rebuild import copy_model, rebuild

__all__ = ["Plan", "Report", "apply", "copy_model", "rebuild"]
