"""What the tests of the core do with models: random weights, masked twins, facts to compare."""

import json

import keras
import numpy as np

from cgap_keras import find_groups
from tests.graphs import MODELS, Keep


def build(name, seed=0):
    """A model of the table with random weights and statistics."""
    model = MODELS[name][0](Keep())
    randomize(model, seed)
    return model


def build_masked(name, model, masks):
    """The masked twin of a model: the same graph and weights, with masks at the places that its builder names."""
    twin = MODELS[name][0](Keep(masks))
    values = {variable.path: variable for variable in model.weights}
    for variable in twin.weights:
        variable.assign(values.pop(variable.path))
    if values:
        raise ValueError(f"The twin lacks {', '.join(values)}")
    return twin


def randomize(model, seed=0):
    """Draws every weight and every statistic at random, each kernel to the scale that keeps signals of size one."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.name in ("moving_variance", "gamma"):
            value = rng.uniform(0.5, 2.0, variable.shape)
        else:
            value = rng.normal(size=variable.shape) / np.sqrt(max(1, np.prod(variable.shape[:-1])))
        variable.assign(value.astype("float32"))


def random_inputs(model, batch=3, seed=0):
    """Normal inputs of a model, as a list."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(batch, *x.shape[1:])).astype("float32") for x in model.inputs]


def run_model(model, inputs):
    """The outputs of a model at inference, a list of arrays."""
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(outputs)]


def difference(expected, actual):
    """The largest difference between lists of arrays, relative to the largest number of each."""
    for a, b in zip(expected, actual, strict=True):
        if a.shape != b.shape or not np.all(np.isfinite(b)):
            return np.inf
    return max(np.max(np.abs(a - b)) / max(np.max(np.abs(a)), 1e-12) for a, b in zip(expected, actual, strict=True))


def values_of(variables):
    """The values of some variables, as a list of arrays."""
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


def same_values(left, right):
    """Whether two lists of arrays agree to the bit."""
    return len(left) == len(right) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(left, right, strict=True)
    )


def facts_of_groups(model):
    """What a user sees of a model's groups, comparable."""
    return [
        (g.name, g.size, g.frozen, g.exact, g.producers, g.consumers, g.size_keys, g.index) for g in find_groups(model)
    ]


def facts_of_layers(model):
    """All that the layers of a model say of themselves and of their place in the graph, comparable."""
    facts = []
    for layer in model._flatten_layers():
        nodes = [*layer._inbound_nodes, *layer._outbound_nodes]
        tensors = [(id(x), x.shape) for node in nodes for x in (*node.input_tensors, *node.outputs)]
        attributes = {
            name: str(value) for name, value in vars(layer).items() if name not in ("_modules", "_inbound_nodes")
        }
        # PyTorch's register of the parameters.
        parameters = sorted(id(x) for x in getattr(layer, "_modules", {}).get("_torch_params", {}).values())
        facts.append((id(layer), attributes, [id(node) for node in nodes], tensors, parameters))
    return facts


def config_of(model):
    """A model's configuration as text."""
    return json.dumps(model.get_config(), default=str)


def facts_of_model(model, inputs):
    """Everything about a model that an edit must leave alone unless it carries it out, comparable."""
    outputs = [x.tobytes() for x in run_model(model, inputs)]
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else ())]
    return {
        "variables": [
            (id(v), tuple(v.shape), v.path, x.tobytes()) for v, x in zip(variables, values_of(variables), strict=True)
        ],
        "tensors": [id(v._value) for v in variables] if keras.backend.backend() != "jax" else None,
        "config": config_of(model),
        "layers": facts_of_layers(model),
        "groups": facts_of_groups(model),
        "outputs": outputs,
        "optimizer": str(getattr(optimizer, "_trainable_variables_indices", None)),
        "functions": [id(getattr(model, f"{x}_function", None)) for x in ("train", "test", "predict")],
    }
