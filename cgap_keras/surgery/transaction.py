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
        self._note(mapping, key)
        mapping[key] = value

    def set_class(self, owner, kind):
        """Makes an object an instance of another class."""
        self._undo.append((object.__setattr__, owner, "__class__", type(owner)))
        object.__setattr__(owner, "__class__", kind)

    def keep(self, owner, *names):
        """Notes attributes that are about to be changed by somebody else."""
        for name in names:
            self._note(vars(owner), name)

    def roll_back(self):
        """Takes every change back, the last one first."""
        while self._undo:
            function, *arguments = self._undo.pop()
            function(*arguments)

    def _note(self, mapping, key):
        self._undo.append((_restore, mapping, key, mapping.get(key, _MISSING)))


def _restore(mapping, key, value):
    if value is _MISSING:
        mapping.pop(key, None)
    else:
        mapping[key] = value
