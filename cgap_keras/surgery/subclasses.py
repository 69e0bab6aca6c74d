"""Models of a class with a constructor of its own: copied and saved by their graph.

Keras saves and copies such a model by the arguments of its constructor, which know nothing of an edit. Here it gets a
subclass of the user's class, with the same methods, that is made from a graph as every functional model is.
"""

import functools
import inspect
import warnings

import keras
from keras.src.models.functional import Functional

from cgap_keras.surgery.attributes import NotPlainError, describe_attributes, set_attributes


@keras.saving.register_keras_serializable("cgap_keras", "EditedModel")
class EditedModel:
    """What makes a model be made from and saved by its graph; the user's class comes behind it."""

    def __init__(self, *args, **kwargs):
        _graph_class(type(self)).__init__(self, *args, **kwargs)

    def get_config(self):
        """The graph, the name of the user's class, and what its constructor set."""
        config, attributes = _graph_class(type(self)).get_config(self), own_attributes(self)
        kind = _user_class(type(self)) if attributes is not None else _plain_class(type(self))
        return {**config, "base": _name_of(kind), "attributes": attributes or {}}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model again, of the user's class."""
        config = dict(config)
        kind, attributes = _class_named(config.pop("base"), custom_objects), config.pop("attributes")
        kind = edited_class(kind)
        model = _graph_class(kind).from_config.__func__(kind, config, custom_objects)
        set_attributes(model, attributes)
        return model


@functools.cache
def edited_class(kind):
    """The class of an edited model: one that is made from and saved by a graph.

    Args:
        kind: A subclass of `keras.Sequential` or of a functional `keras.Model`.

    Returns:
        The class itself if it is such a one, otherwise a subclass with the same methods.
    """
    if is_made_from_graph(kind):
        return kind
    edited = type(kind.__name__, (EditedModel, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})
    # All under one name: whichever of them Keras finds, `from_config` reads the right one from the configuration.
    return keras.saving.register_keras_serializable("cgap_keras", "EditedModel")(edited)


def is_made_from_graph(kind):
    """Whether a model class is made and saved as Keras's own are: by its graph alone."""
    if kind is keras.Model or issubclass(kind, EditedModel):
        return True
    graph_class, constructor = _graph_class(kind), inspect.getfullargspec(kind.__init__)
    own_saving = [
        name
        for name in ("get_config", "from_config")
        if inspect.getattr_static(kind, name) is not inspect.getattr_static(graph_class, name)
    ]
    takes_graph = constructor.args == inspect.getfullargspec(graph_class.__init__).args
    return not own_saving and (takes_graph or bool(constructor.varargs and constructor.varkw))


def copied_class(model):
    """The class of a copy of a model, and the attributes that it is to get.

    Returns:
        A class that can be called with a graph, and a dictionary for `set_attributes`. The class is Keras's own if what
        the model holds cannot be copied; a warning says so.
    """
    kind = type(model)
    if is_made_from_graph(kind) and not issubclass(kind, EditedModel):
        return kind, {}
    attributes = own_attributes(model)
    return (_plain_class(kind), {}) if attributes is None else (edited_class(kind), attributes)


def own_attributes(model):
    """What the constructor of a model's class set, or `None` with a warning if it cannot be told."""
    try:
        return describe_attributes(model)
    except NotPlainError as error:
        warnings.warn(
            f"A copy or a file of the edited model {model.name!r} is a plain functional model, without the methods of "
            f"{_user_class(type(model)).__name__}: its attributes hold a {error}, which cannot be copied.",
            stacklevel=2,
        )
        return None


def _graph_class(kind):
    return keras.Sequential if issubclass(kind, keras.Sequential) else Functional


def _plain_class(kind):
    return keras.Sequential if issubclass(kind, keras.Sequential) else keras.Model


def _user_class(kind):
    return next(base for base in kind.__mro__ if not issubclass(base, EditedModel))


def _name_of(kind):
    return keras.saving.get_registered_name(kind)


def _class_named(name, custom_objects):
    plain = {_name_of(kind): kind for kind in (keras.Model, keras.Sequential)}
    kind = keras.saving.get_registered_object(name, custom_objects, module_objects=plain)
    if kind is None:
        raise TypeError(
            "The class of an edited model is not known. Register it with "
            "`keras.saving.register_keras_serializable()`, or hand it over in `custom_objects`. "
            f"Received: class={name!r}"
        )
    return kind
