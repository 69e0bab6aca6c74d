"""The other callbacks of the same training.

A callback that changes the structure of a model has to know who else holds weights of it, and Keras tells a callback
nothing of the others. They are found through the list that calls them. Two tables say what becomes of which class and
its subclasses; a callback of another class is left alone, unless it has a method `follow_edit(report, transaction)`.
"""

import inspect

from keras import callbacks

from cgap_keras.surgery.followers import follow_edits

# What a callback remembers of one structure says nothing of the next: it goes on as at the begin of training.
_BEGIN_ANEW = {
    callbacks.EarlyStopping: callbacks.EarlyStopping.on_train_begin,
    callbacks.ReduceLROnPlateau: callbacks.ReduceLROnPlateau.on_train_begin,
    callbacks.ModelCheckpoint: lambda checkpoint: setattr(checkpoint, "best", None),
}

_WHOLE_MODELS = (
    "its file of weights alone would load into no model but one of the same structure, which the file does not tell. "
    'Save whole models: save_weights_only=False and a path that ends in ".keras".'
)
_OWN_BACKUPS = (
    "its backup could not be restored into a model that starts again with its first structure. Use "
    "cgap_keras.BackupAndRestore in its place."
)
# What would leave behind files that fit no model: which callbacks of the class do so, why, and what to use instead.
_REFUSED = {
    callbacks.ModelCheckpoint: (lambda checkpoint: checkpoint.save_weights_only, _WHOLE_MODELS),
    callbacks.BackupAndRestore: (lambda backup: True, _OWN_BACKUPS),
}


def find_siblings(callback):
    """The callbacks of the training that is about to begin.

    Args:
        callback: A callback whose `on_train_begin` is running.

    Returns:
        A list of all callbacks, `callback` included, in the order in which they are called; empty if no
        `keras.callbacks.CallbackList` called it.
    """
    calling = find_list(callback)
    return [] if calling is None else list(calling.callbacks)


def find_list(callback):
    """The `keras.callbacks.CallbackList` that is calling a method of a callback, or `None`."""
    return next((calling for calling in _calling_lists() if callback in calling.callbacks), None)


def check_siblings(siblings):
    """Refuses callbacks that cannot live with edits of the model.

    Args:
        siblings: The callbacks of a training in which the model is to be edited.

    Raises:
        ValueError: If one of them would leave behind what fits no model. The message says what to use in its place.
    """
    for kind, (is_refused, reason) in _REFUSED.items():
        for sibling in siblings:
            if isinstance(sibling, kind) and is_refused(sibling):
                raise ValueError(
                    f"{type(sibling).__name__} cannot be used while the structure of the model is edited: {reason} "
                    f"Received: callbacks={[type(x).__name__ for x in siblings]}"
                )


@follow_edits
def _follow(model, report, transaction):
    """Lets the callbacks of the training that is going on follow an edit, whoever made it."""
    siblings = next((calling.callbacks for calling in _calling_lists() if _model_of(calling) is model), ())
    check_siblings(siblings)
    for sibling in siblings:
        for kind, begin in _BEGIN_ANEW.items():
            if isinstance(sibling, kind):
                transaction.keep(sibling, *vars(sibling))
                begin(sibling)
        if hasattr(sibling, "follow_edit"):
            sibling.follow_edit(report, transaction)


def _calling_lists():
    """The callback lists that are calling a callback right now, the innermost first."""
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, callbacks.CallbackList):
            yield caller
        frame = frame.f_back


def _model_of(calling):
    # On JAX the public property brings the model's state up to date, and a list without a model has none of the two.
    return getattr(calling, "_model", None)
