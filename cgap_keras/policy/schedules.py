"""How far each of the edits goes that lead down to a target.

Each schedule says, of what the network costs now and how many edits are left, what it is to cost after the next one.
So a schedule that is taken up at a cost it did not expect goes on from there.
"""


def exponential(now, target, remaining):
    """Every edit takes the same share of what is there."""
    return now * (target / now) ** (1 / remaining)


def linear(now, target, remaining):
    """Every edit takes the same amount."""
    return now + (target - now) / remaining


def polynomial(now, target, remaining):
    """Large edits first, small ones near the target: what is still to be taken falls with the cube of the edits left.

    Source: Zhu, Gupta, "To Prune, or Not to Prune: Exploring the Efficacy of Pruning for Model Compression", 2017,
    equation 1, for cost in the place of sparsity.
    """
    return target + (now - target) * (1 - 1 / remaining) ** 3


SCHEDULES = {schedule.__name__: schedule for schedule in (exponential, linear, polynomial)}
