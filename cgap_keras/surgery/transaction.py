"""All or nothing: attribute changes that are taken back if a later one fails."""

_MISSING = object()


class Transaction:
    """A context in which attributes and dictionary entries are set, and restored if the block raises.

    Values are written straight into the objects' dictionaries, past `__setattr__`: Keras's own tracks layers and
    variables there, and every object that is edited here is tracked already.

    Example:

    ```python
    with Transaction() as transaction:
        transaction.set(layer, "filters", 24)
    ```
    """

    def __init__(self):
        self._undo = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self.roll_back()

    def set(self, owner, name, value):
        """Sets an attribute."""
        self.set_item(vars(owner), name, value)

    def set_item(self, mapping, key, value):
        """Sets an entry of a dictionary."""
        self._undo.append((mapping, key, mapping.get(key, _MISSING)))
        mapping[key] = value

    def keep(self, owner, *names):
        """Notes attributes that are about to be changed by somebody else."""
        for name in names:
            self._undo.append((vars(owner), name, vars(owner).get(name, _MISSING)))

    def roll_back(self):
        """Takes every change back, the last one first."""
        while self._undo:
            mapping, key, value = self._undo.pop()
            if value is _MISSING:
                mapping.pop(key, None)
            else:
                mapping[key] = value
