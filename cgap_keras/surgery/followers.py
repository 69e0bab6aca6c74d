"""Who follows an edit beside the model itself.

Whatever holds weights or widths of a model (another callback of the same training, say) is not known here: it enters a
function, which `apply` calls at each edit.
"""

_FOLLOWERS = []


def follow_edits(follower):
    """Enters a function that is to be called at each edit.

    Args:
        follower: A function `(model, report, transaction)`. The model is edited when it is called, and the optimizer as
            well. What it changes, it changes through the transaction. An exception that it raises takes the edit back.

    Returns:
        The function, so that this serves as a decorator.
    """
    _FOLLOWERS.append(follower)
    return follower


def tell_followers(model, report, transaction):
    """Lets everyone follow an edit that has just been committed."""
    for follower in _FOLLOWERS:
        follower(model, report, transaction)
