"""What users hand to `model.fit`."""

from cgap_keras.callbacks.backup import BackupAndRestore
from cgap_keras.callbacks.cgap import CGaP

__all__ = ["BackupAndRestore", "CGaP"]
