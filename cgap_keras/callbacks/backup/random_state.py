"""The generators of random numbers that belong to the process and not to a model.

The seed generators of layers are variables of the model.
"""

import random

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random import seed_generator


def get_random_state():
    """The states of the generators of Python, NumPy, Keras and PyTorch, as a plain value.

    TensorFlow's are left out: an operation such as `tf.random.shuffle` has its own, inside its kernel.
    """
    return {name: get() for name, (get, _) in _GENERATORS.items()}


def set_random_state(state):
    """Sets what `get_random_state` told."""
    for name, (_, set_state) in _GENERATORS.items():
        set_state(state[name])


def _get_keras():
    generator = global_state.get_global_attribute(seed_generator.GLOBAL_SEED_GENERATOR)
    return None if generator is None else keras.ops.convert_to_numpy(generator.state.value)


def _set_keras(state):
    if state is not None:
        seed_generator.global_seed_generator().state.assign(state)


def _get_torch():
    if keras.backend.backend() != "torch":
        return None
    import torch

    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ()
    return [state.numpy() for state in (torch.get_rng_state(), *devices)]


def _set_torch(states):
    if states is None:
        return
    import torch

    own, *devices = map(torch.from_numpy, states)
    torch.set_rng_state(own)
    if devices:
        torch.cuda.set_rng_state_all(devices)


# Keras's comes first: to make it draws from Python's.
_GENERATORS = {
    "keras": (_get_keras, _set_keras),
    "python": (random.getstate, random.setstate),
    "numpy": (lambda: np.random.get_state(legacy=False), np.random.set_state),
    "torch": (_get_torch, _set_torch),
}
