"""Units and what ties them together: a union-find over every filter and neuron of a model."""

import numpy as np

from cgap_keras.structure.layout import FIXED


class Units:
    """The units of a model, joined into classes that must be kept, copied and removed as one.

    Attributes:
        count: How many units there are.
    """

    def __init__(self):
        self._parent = np.empty(0, np.int64)
        self._reasons = {}
        self._inexact = []

    @property
    def count(self):
        return len(self._parent)

    def new(self, size):
        """Adds `size` units, each a class of its own, and returns their ids."""
        ids = np.arange(self.count, self.count + size)
        self._parent = np.concatenate([self._parent, ids])
        return ids

    def find(self, ids):
        """The representative of the class of each unit."""
        roots = self._parent[ids]
        while True:
            above = self._parent[roots]
            if np.array_equal(above, roots):
                return roots
            roots = above

    def tie(self, left, right):
        """Joins the classes of `left[i]` and `right[i]`, for every i."""
        left, right = np.asarray(left).ravel(), np.asarray(right).ravel()
        while True:
            a, b = self.find(left), self.find(right)
            apart = a != b
            if not apart.any():
                return
            a, b = a[apart], b[apart]
            # Of several writes to one place NumPy keeps the last, so the loop goes on until none is lost.
            self._parent[np.maximum(a, b)] = np.minimum(a, b)

    def freeze(self, labels, reason):
        """Says why the units among `labels` cannot be resized. The first reason given for a unit stays."""
        for unit in np.unique(labels):
            if unit != FIXED:
                self._reasons.setdefault(int(unit), reason)

    def mark_inexact(self, labels):
        """Says that copies of the units among `labels` change the function of the model."""
        self._inexact.append(np.unique(labels[labels != FIXED]))

    def reasons(self):
        """`{representative: reason}` of the frozen classes."""
        reasons = {}
        for unit, reason in sorted(self._reasons.items()):
            reasons.setdefault(int(self.find(np.array([unit]))[0]), reason)
        return reasons

    def inexact(self):
        """The representatives of the classes whose copies change the function."""
        return set(self.find(np.concatenate([*self._inexact, np.empty(0, np.int64)])).tolist())
