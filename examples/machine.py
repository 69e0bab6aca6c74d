"""What figures were measured with."""

import os
import platform
import sys

import keras


def environment():
    """Versions and settings that figures depend on, a dictionary for `json.dumps`."""
    versions = {
        name: sys.modules[name].__version__
        for name in ("keras", "tensorflow", "jax", "torch", "numpy")
        if name in sys.modules
    }
    return {
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        **versions,
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
    }
