"""The class that a draft is of: its layer's own, without what Keras does for a layer that is to live.

A draft is made, built and called once, and is gone with the edit. Half of the time that this takes goes into two things
that it has no use for: every attribute that is set is searched for variables and layers inside it, by Keras and by the
backend, Keras's own lists of what it has found among them, and the signature of the constructor is read for each layer.
"""

import functools
import inspect

import keras

from cgap_keras.surgery.attributes import PLAIN
from cgap_keras.surgery.likeness import bookkeeping

# Where layers are found besides variables, and what the backend makes collections of its own of.
_SEARCHED = (keras.Layer, keras.Metric, keras.random.SeedGenerator, list, tuple, dict, set)


@functools.cache
def draft_class(kind):
    """A subclass of a layer class, of the same name, for drafts alone.

    A class that is not Keras's own is its own draft class: what it does with its attributes, or when it has a subclass,
    nobody knows.
    """
    if not has_draft_class(kind):
        return kind
    own = {"__init__": _constructor(kind), "__setattr__": _setter(kind), "__module__": kind.__module__}
    return type(kind.__name__, (kind,), own)


def has_draft_class(kind):
    """Whether a class is a layer class of Keras's own."""
    return issubclass(kind, keras.Layer) and (kind.__module__ or "").startswith("keras.src.")


@functools.cache
def follows_shape(kind):
    """Whether `build` and `compute_output_shape` say what a layer of Keras's own makes of one tensor."""
    if not has_draft_class(kind) or kind.compute_output_shape is keras.Layer.compute_output_shape:
        return False
    is_called_as_any = all(
        getattr(kind, name) is getattr(keras.Layer, name) for name in ("__call__", "compute_output_spec")
    )
    functions = kind.build, kind.compute_output_shape
    return is_called_as_any and all(len(inspect.signature(function).parameters) == 2 for function in functions)


def _constructor(kind):
    def __init__(self, *args, **kwargs):
        kind.__init__(self, *args, **kwargs)

    # Keras looks through the arguments in it, for classes without a `get_config`; `remake` does without.
    __init__.__signature__ = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)])
    return __init__


def _setter(kind):
    def __setattr__(self, name, value):
        if isinstance(value, keras.Variable):
            self._tracker.track(value)
        elif isinstance(value, _SEARCHED) and name not in own and not _is_plain_tuple(value):
            return slow(self, name, value)
        object.__setattr__(self, name, value)

    slow, own = kind.__setattr__, bookkeeping()
    return __setattr__


def _is_plain_tuple(value):
    return type(value) is tuple and all(type(item) in PLAIN for item in value)
