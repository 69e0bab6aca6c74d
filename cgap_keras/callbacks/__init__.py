"""What users hand to `model.fit`."""

from cgap_keras.callbacks.backup.backup_and_restore import BackupAndRestore
from cgap_keras.callbacks.cgap import CGaP
from cgap_keras.callbacks.growth import Growth
from cgap_keras.callbacks.pruning import Pruning
from cgap_keras.callbacks.structure import StructureCallback
from cgap_keras.callbacks.triggers import Plateau, Steps

__all__ = ["BackupAndRestore", "CGaP", "Growth", "Plateau", "Pruning", "Steps", "StructureCallback"]
