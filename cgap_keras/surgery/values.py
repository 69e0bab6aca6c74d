"""The new values of an edit: weights, statistics and optimizer slots, gathered before anything moves."""

import functools
import math

import numpy as np

from cgap_keras.structure.graph import shape_of
from cgap_keras.surgery.arrays import to_arrays, to_tensor
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
        them.
    """
    paths = {id(variable): path for path, variable in variables.items()}
    numbers = {path: number for number, path in enumerate(edits)}

    def weights(path, changes):
        # A generator for each variable, so that neither the order matters nor who asks twice.
        rng = np.random.default_rng([entropy, numbers[path]]) if noise else None
        return functools.partial(edit_weights, edits=changes, noise=noise, rng=rng)

    work = [(variables[path], weights(path, changes)) for path, changes in edits.items()]
    for slot in slots:
        path = paths.get(id(slot.variable))
        changes = edits_of_slot(edits.get(path, ()), slot.axes)
        if changes and slot.is_weight:
            # With the noise of its variable: weights are made from the slot, and the next step would undo other noise.
            work.append((slot.value, weights(path, changes)))
        elif changes:
            work.append((slot.value, functools.partial(edit_slot, edits=changes)))
    return _done(work)


def _done(work):
    """Carries out `(variable, function of its array)` pairs.

    The largest first: memory that it takes for a moment serves the others then. All are read, then gathered, then
    handed over: a backend's operation takes a third of the time right behind one like it. Not by threads: the time goes
    into pages of fresh memory, and the interpreter's lock changes hands too slowly for pieces of a millisecond.
    """
    work.sort(key=lambda pair: -math.prod(shape_of(pair[0])))
    arrays = zip(work, to_arrays([variable for variable, _ in work]), strict=True)
    arrays = [function(array) for (_, function), array in arrays]
    return [(variable, to_tensor(array)) for (variable, _), array in zip(work, arrays, strict=True)]
