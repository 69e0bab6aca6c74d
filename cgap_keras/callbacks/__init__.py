"""What users hand to `model.fit`."""

from cgap_keras.callbacks.backup.backup_and_restore import BackupAndRestore
from cgap_keras.callbacks.cgap import CGaP

__all__ = ["BackupAndRestore", "CGaP"]
