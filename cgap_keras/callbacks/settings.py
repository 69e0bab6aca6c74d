"""What a callback was made with, as a plain value that two runs of a script have in common."""

import dataclasses
import numbers


def describe(value):
    """A setting as plain values: an object by its class and its fields, a function by its qualified name."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return [type(value).__name__, fields]
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if value is None or isinstance(value, (str, numbers.Number)):
        return value
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
