"""What the callbacks of a training remember.

A callback with the methods `get_state` and `set_state` says itself what its state is. Of any other it is the plain
attributes that have changed since training began: what has not changed is how the callback was made, which is up to the
script.
"""

import copy

from cgap_keras.callbacks.backup.plain import fingerprint


class CallbackStates:
    """The states of some callbacks.

    Args:
        callbacks: The callbacks, whose `on_train_begin` has run.
    """

    def __init__(self, callbacks):
        self._callbacks = dict(_named(callbacks))
        self._at_begin = {name: _fingerprints(callback) for name, callback in self._callbacks.items()}

    def get(self):
        """The states as a plain value, `{name of a callback: state}`."""
        return {name: self._get(name, callback) for name, callback in self._callbacks.items()}

    def set(self, states):
        """Sets what `get` told. A callback that it does not name stays as it is."""
        # What a callback gets is its own, to change as it likes.
        for name, state in copy.deepcopy(states).items():
            callback = self._callbacks.get(name)
            if callback is not None and _tells_state(callback):
                callback.set_state(state)
            elif callback is not None:
                for attribute, value in state.items():
                    setattr(callback, attribute, value)

    def _get(self, name, callback):
        if _tells_state(callback):
            return callback.get_state()
        prints, before = _fingerprints(callback), self._at_begin[name]
        return {key: vars(callback)[key] for key, value in prints.items() if value != before.get(key)}


def _named(callbacks):
    """`(name, callback)` pairs: the class, and a number behind it if there are several of it."""
    seen = {}
    for callback in callbacks:
        kind = type(callback).__qualname__
        seen[kind] = seen.get(kind, 0) + 1
        yield kind if seen[kind] == 1 else f"{kind}:{seen[kind] - 1}", callback


def _tells_state(callback):
    return hasattr(callback, "get_state") and hasattr(callback, "set_state")


def _fingerprints(callback):
    if _tells_state(callback):
        return {}
    prints = {name: fingerprint(value) for name, value in vars(callback).items()}
    return {name: value for name, value in prints.items() if value is not None}
