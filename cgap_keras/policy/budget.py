"""What a network may cost, in whatever it is counted in."""

import dataclasses
import math
import numbers
from collections.abc import Callable

from cgap_keras.distribution import agree
from cgap_keras.policy.width_cost import CURRENCIES, WidthCost
from cgap_keras.surgery.rebuild import rebuild


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much a network may cost, and what is counted.

    Wherever a `capacity` or a `target` is asked for, a plain number is one of parameters, and a `Budget` anything else.

    A function is asked of copies of the model with the widths in question, about ten times an edit; which of its units
    a copy has says nothing. It has to grow with the widths, or at least not to fall: a measured latency that wavers by
    some percent ends up as near to the amount as it is sure of.

    Args:
        amount: The cost, a positive number.
        currency: What is counted: `"params"` or `"macs"`, as `cgap_keras.cost` counts them, or a function of a model
            that returns a number (bytes of a file, milliseconds). Defaults to `"params"`. A function that has a
            method `at_widths(model)` may return there the cost as a function of `{group name: units}`, so that no
            copies need be built; pruning then keeps units whose removal would save nothing.

    Raises:
        ValueError: If the amount is not positive, or the currency is unknown.

    Example:

    ```python
    target = cgap_keras.Budget(20e6, "macs")
    target = cgap_keras.Budget(48 * 1024, tflite_export.file_bytes("int8", x_train[:8]))
    model.fit(x, y, epochs=20, callbacks=[cgap_keras.Pruning(target)])
    ```
    """

    amount: float
    currency: str | Callable = "params"

    def __post_init__(self):
        if not _is_positive(self.amount):
            raise ValueError(f"`amount` must be a positive number. Received: amount={self.amount!r}")
        if self.currency not in CURRENCIES and not callable(self.currency):
            raise ValueError(
                f"`currency` must be one of {', '.join(CURRENCIES)}, or a function of a model that returns a number. "
                f"Received: currency={self.currency!r}"
            )

    def cost_of(self, model, groups):
        """The cost of a model as a function of the widths of its groups, `{group name: units}`."""
        if not callable(self.currency):
            return WidthCost(model, groups, self.currency)
        at_widths = self.currency.at_widths(model) if hasattr(self.currency, "at_widths") else None
        return MeasuredCost(model, groups, self.currency, at_widths)


class MeasuredCost:
    """A cost that a function of the user's tells, as a function of the widths of a model's groups.

    Where several processes train one model, what the function says in the first one holds for all.

    Args:
        model: A built functional or Sequential model.
        groups: Its channel groups that can be resized.
        function: A function of a model that returns a number. It is called once for each choice of widths.
        at_widths: A function of `{group name: units}` that returns the same number, or `None`.
    """

    def __init__(self, model, groups, function, at_widths=None):
        self._model, self._function, self._at_widths = model, function, at_widths
        self._widths = {group.name: group.size for group in groups}
        self._known = {}

    @property
    def is_stepwise(self):
        """Whether the cost is quick to tell at any widths, and may be the same at several."""
        return self._at_widths is not None

    def __call__(self, widths=None):
        """The cost with some groups at other widths; the groups left out keep theirs."""
        asked = self._widths | dict(widths or {})
        key = tuple(asked.values())
        if key not in self._known:
            self._known[key] = agree(self._measure(asked))
        return self._known[key]

    def _measure(self, widths):
        cost = float(self._at_widths(widths) if self._at_widths else self._function(self._copy(widths)))
        if not math.isfinite(cost):
            raise ValueError(f"The function of a budget must return a finite number. Received: {cost}")
        return cost

    def _copy(self, widths):
        plan = {
            name: [unit % self._widths[name] for unit in range(units)]
            for name, units in widths.items()
            if units != self._widths[name]
        }
        return rebuild(self._model, plan)


def as_budget(name, value):
    """A budget, or a number of parameters as one.

    Args:
        name: What the argument is called that holds the value.
        value: A `Budget` or a number.

    Raises:
        ValueError: If it is neither, or not positive.
    """
    if isinstance(value, Budget):
        return value
    if not _is_positive(value):
        raise ValueError(
            f"`{name}` must be a positive number of parameters, or a `cgap_keras.Budget`. Received: {name}={value!r}"
        )
    return Budget(value)


def _is_positive(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 < value < math.inf
