"""The new values of an edit: weights, statistics and optimizer slots, gathered before anything moves."""

import functools
import math

import numpy as np

from cgap_keras.structure.graph import shape_of
from cgap_keras.surgery.arrays import to_array, to_tensor
from cgap_keras.surgery.gather import edit_slot, edit_weights, edits_of_slot


def new_values(variables, slots, edits, noise, entropy):
    """What every variable that an edit changes will hold.

    Args:
        variables: `{path: variable}`, the variables of the model.
        slots: The `Slot`s of its optimizer.
        edits: `{path: edits}`, what becomes of the axes of each variable.
        noise: Noise that tells a new unit from its parent, see `cgap_keras.apply`.
        entropy: A non-negative integer, the seed of the noise.

    Returns:
        A list of `(variable, tensor)`: as NumPy arrays the values would stand in memory twice once the variables have
        them. For the same reason no array has a name here.
    """
    paths, values = {id(variable): path for path, variable in variables.items()}, []
    # A generator for each variable, so that neither the order matters nor who asks twice.
    draws = {path: functools.partial(_generator, noise, entropy, i) for i, path in enumerate(edits)}
    # The largest first: memory that it takes for a moment serves the others then.
    for path in sorted(edits, key=lambda path: -math.prod(shape_of(variables[path]))):
        variable = variables[path]
        values.append((variable, to_tensor(edit_weights(to_array(variable), edits[path], noise, draws[path]()))))
    for slot in slots:
        path = paths.get(id(slot.variable))
        changes = edits_of_slot(edits.get(path, ()), slot.axes)
        if changes and slot.is_weight:
            # With the noise of its variable: weights are made from the slot, and the next step would undo other noise.
            values.append((slot.value, to_tensor(edit_weights(to_array(slot.value), changes, noise, draws[path]()))))
        elif changes:
            values.append((slot.value, to_tensor(edit_slot(to_array(slot.value), changes))))
    return values


def _generator(noise, entropy, number):
    return np.random.default_rng([entropy, number]) if noise else None
