"""The edit of a live model."""

import dataclasses
import math

import numpy as np

from cgap_keras.distribution import agree, check_distribution, placement
from cgap_keras.structure.collection import without_collection
from cgap_keras.structure.graph import shape_of, trace
from cgap_keras.structure.groups import groups_in, variables_of
from cgap_keras.surgery import live
from cgap_keras.surgery.followers import tell_followers
from cgap_keras.surgery.gather import NEW_UNITS, edited_axes, edited_shape
from cgap_keras.surgery.plan import InversePlan, Plan
from cgap_keras.surgery.slots import find_slots, fresh_state
from cgap_keras.surgery.symbolic import draft_model
from cgap_keras.surgery.transaction import Transaction
from cgap_keras.surgery.values import new_values


@dataclasses.dataclass(frozen=True)
class Report:
    """What an edit did.

    Attributes:
        plan: The plan that was carried out.
        widths_before: `{group name: units}` of every group before the edit.
        widths_after: The same after it.
        params_before: How many weights the model had, statistics included.
        params_after: How many it has.
        new_units: How new units started.
        reset: Paths of the optimizer's variables that began anew, because nothing tells how they belong to the
            model's: state of an optimizer that is not Keras's own, in another shape than its variable's.
    """

    plan: Plan
    widths_before: dict
    widths_after: dict
    params_before: int
    params_after: int
    new_units: str = "split"
    reset: tuple[str, ...] = ()

    @property
    def inverse(self):
        """The plan that takes this edit back, for `apply`; `None` if units were pruned, since nothing keeps them."""
        whole = all(len(set(index)) == self.widths_before[name] for name, index in self.plan.items())
        if not whole or isinstance(self.plan, InversePlan):
            return None
        return InversePlan(self.plan, self.new_units)


@without_collection
def apply(model, plan, new_units="split", noise=0.0, seed=None):
    """Edits a model in place, in the middle of training too.

    The model, its layers, variables and optimizer stay the same objects. Weights, statistics, optimizer slots and step
    count go on; the compiled functions are traced anew. Everything that can fail fails before the first variable moves,
    and a failure while they move takes every change back.

    Where several processes train one model, all of them call this, and the plan and the seed of the first one hold.

    Args:
        model: A built functional or Sequential `keras.Model`, compiled or not.
        plan: A `Plan`, or a mapping that makes one.
        new_units: How a new unit starts. `"split"` copies its parent's incoming weights and shares the outgoing ones
            out among the copies; `"zero"` copies the incoming weights and gives the copy outgoing zeros; both leave the
            function of the model unchanged. `"cgap"` divides the incoming weights of parent and copies by their number
            and copies the outgoing ones, as CGaP does; a normalisation behind it undoes the division, so there it does
            not preserve the function.
        noise: Standard deviation of the noise that tells a new unit from its parent, relative to that of the parent's
            weights. With `"split"` it is in how the copies share the outgoing weights, where it adds up to nothing, so
            that the function stays; with the others it is in a new unit's incoming weights, and with all of them where
            no weight reads the unit. Without noise, copies receive equal gradients and stay equal. Defaults to 0.
        seed: Integer seed of the noise; `None` draws another noise at every call.

    Returns:
        A `Report`.

    Raises:
        ValueError: If the plan does not fit the model; nothing has changed then.

    Example:

    ```python
    cgap_keras.apply(model, cgap_keras.Plan({"conv2d_3": [0, 1, 2, 2]}), noise=0.1, seed=0)
    model.fit(...)  # goes on, with momentum and step count
    ```
    """
    plan = plan if isinstance(plan, Plan) else Plan(plan)
    if new_units not in NEW_UNITS:
        raise ValueError(f"`new_units` must be one of {', '.join(NEW_UNITS)}. Received: new_units={new_units!r}")
    if noise < 0:
        raise ValueError(f"`noise` must not be negative. Received: noise={noise}")
    check_distribution(model)
    plan, entropy = agree((plan, np.random.SeedSequence(seed).entropy))
    graph = trace(model)
    groups, variables = groups_in(model, graph), variables_of(graph)
    plan.check(groups)
    before = _count(variables)
    optimizer = getattr(model, "optimizer", None)
    slots = find_slots(optimizer)
    edits = edited_axes(groups, plan, new_units)
    draft = draft_model(model, _new_sizes(groups, plan))
    _check_shapes(draft, edits, variables)
    live.pull_state(model)
    values = new_values(variables, slots, edits, noise, entropy)
    fresh = fresh_state(optimizer, slots, {id(variables[path]): changes for path, changes in edits.items()})
    reset = tuple(variable.path for variable, _ in fresh)
    values += fresh
    gone = [variable._value for variable, _ in values]
    with placement(model), Transaction() as transaction:
        _commit(model, optimizer, draft, values, transaction)
        widths = {group.name: group.size for group in groups}
        widths_after = widths | {name: len(index) for name, index in plan.items()}
        report = Report(plan, widths, widths_after, before, _count(variables), new_units, reset)
        tell_followers(model, report, transaction)
        live.keep_state(model, transaction)
        live.push_state(model)
        live.release_functions(gone)
    return report


def _count(variables):
    """How many weights a model has, by its variables: as Keras counts them, which takes ten times as long."""
    return sum(math.prod(shape_of(variable)) for variable in variables.values())


def _new_sizes(groups, plan):
    """`{layer path: {configuration keys: new value}}` for the keys that change."""
    indices = {group.index: plan[group.name] for group in groups if group.name in plan}
    sizes = {}
    for group in groups:
        for key in group.size_keys if group.index in indices else ():
            value = key.value(indices)
            if value != key.value({}):
                sizes.setdefault(key.layer, {})[key.key] = value
    return sizes


def _check_shapes(draft, edits, variables):
    """The layers' own idea of their new shapes has to be that of the index vectors."""
    paths = {id(variable): path for path, variable in variables.items()}
    drafts = {id(new): new for _, new in draft.layers}
    drafted = {key: tuple(map(shape_of, getattr(new, "weights", ()))) for key, new in drafts.items()}
    for layer, new in draft.layers:
        for variable, built in zip(getattr(layer, "weights", ()), drafted[id(new)], strict=True):
            expected = edited_shape(shape_of(variable), edits.get(paths[id(variable)], ()))
            if expected != built:
                raise ValueError(
                    f"The rule of {type(layer).__name__} is wrong: it gives `{paths[id(variable)]}` the shape "
                    f"{expected}, the "
                    f"layer builds {built}."
                )


def _commit(model, optimizer, draft, values, transaction):
    replaced = {id(variable._value): variable for variable, _ in values}
    live.resize_variables(values, transaction)
    for layer, attributes in draft.attributes:
        live.update_layer(layer, attributes, transaction)
    for tensor, shape in draft.tensors:
        live.update_tensor(tensor, shape, transaction)
    for layer, shape in draft.inputs:
        live.update_input(layer, shape, transaction)
    for nested, shape in draft.stacks:
        live.update_stack(nested, shape, transaction)
    live.update_classes(model, [layer for layer, _ in draft.layers], transaction)
    live.update_optimizer_keys(optimizer, transaction)
    live.update_torch_parameters(model, replaced, transaction)
