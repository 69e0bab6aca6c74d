"""What one child process of `structure_speed.py` does: it takes its job as JSON and prints the result as JSON.

KERAS_BACKEND=torch python -m benchmarks.structure_jobs '{"job": "keras", "network": "vgg19", "repeats": 5}'
"""

import ctypes
import gc
import importlib.metadata
import json
import math
import platform
import sys
import time

_ITEM_BYTES = 4  # every network here has float32 weights

# Keras builds a functional model by recursion, a few frames a layer.
sys.setrecursionlimit(100_000)


def time_keras(network, repeats, fresh=True):
    """Seconds for finding all groups and halving them, each time on a fresh model or again and again on one."""
    import cgap_keras

    model, runs = keras_network(network), []
    facts = {"parameters": model.count_params(), "layers": len(_flat_layers(model))}
    for repeat in range(repeats):
        if repeat and fresh:
            model = keras_network(network)
        watch = Stopwatch()
        groups = cgap_keras.find_groups(model)
        found = watch.read()
        cgap_keras.apply(model, halving(groups))
        runs.append({**watch.read(), "find_groups_s": found["wall_s"]})
        facts |= {"groups": len(groups), "parameters_after": facts.get("parameters_after", model.count_params())}
    return {**facts, "runs": runs}


def time_torch_pruning(network, repeats):
    """Seconds of Torch-Pruning for the same, as its README prunes group by group."""
    import torch
    import torch_pruning

    runs = []
    for _ in range(repeats):
        model, image = torch_network(network)
        facts = {"parameters": _count(model), "groups": 0}
        head = model[-1] if isinstance(model, torch.nn.Sequential) else model.head
        watch = Stopwatch()
        graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=image)
        for group in graph.get_all_groups(ignored_layers=[head], root_module_types=[torch.nn.Conv2d, torch.nn.Linear]):
            group.prune(idxs=list(range(1, len(group[0].idxs), 2)))
            facts["groups"] += 1
        runs.append(watch.read())
        model(image)
    return {**facts, "parameters_after": _count(model), "runs": runs}


def time_floor(network, repeats):
    """Seconds that a halving takes at least on TensorFlow, where each layer is made by its own constructor.

    The variables that it replaces are read, for each a handle is made and a value assigned to it, and one layer is
    constructed for all that are alike, of the class that drafts have. Finding the groups, choosing the weights, the
    objects around the handles, building and calling the layers are left out.
    """
    from tensorflow.python.eager import context
    from tensorflow.python.ops import gen_resource_variable_ops as operations

    import cgap_keras
    from cgap_keras.structure.graph import trace
    from cgap_keras.structure.groups import groups_of
    from cgap_keras.surgery.apply import _new_sizes
    from cgap_keras.surgery.arrays import to_arrays, to_tensor
    from cgap_keras.surgery.remaking import building_without_values, live_config
    from cgap_keras.surgery.symbolic import draft_model

    model, runs = keras_network(network), []
    groups = groups_of(trace(model))
    plan = halving(groups)
    drafts = {id(new): new for _, new in draft_model(model, _new_sizes(groups, plan)).layers}
    configs = [(type(draft), live_config(draft)) for draft in drafts.values()]
    smaller = cgap_keras.rebuild(model, plan)
    pairs = [(a, b) for a, b in zip(model.variables, smaller.variables, strict=True) if a.shape != b.shape]
    values, name = list(map(to_tensor, to_arrays([new for _, new in pairs]))), context.anonymous_name()
    old = [(variable.value.handle, variable.value.dtype) for variable, _ in pairs]
    for _ in range(repeats):
        watch = Stopwatch()
        for (handle, dtype), value in zip(old, values, strict=True):
            operations.read_variable_op(handle, dtype)
            new = operations.var_handle_op(dtype, value.shape, shared_name=name)
            operations.assign_variable_op(new, value)
        read = watch.read()
        with building_without_values():
            for kind, config in configs:
                kind.from_config(dict(config))
        runs.append({**watch.read(), "variables_s": read["wall_s"]})
    return {"variables": len(pairs), "layers": len(configs), "runs": runs}


def measure_memory(network, edit):
    """Peak memory of an edit over the bytes of the weights, counted from the process before the model is built."""
    edited(keras_network("resnet_cifar_8"), edit)
    reset_peak_memory()
    baseline = read_memory("VmRSS")
    model = keras_network_from_arrays(network)
    before = _bytes(model)
    reset_peak_memory()
    larger = max(before, _bytes(edited(model, edit)))
    peak = read_memory("VmHWM") - baseline
    return {"larger_weights_bytes": larger, "peak_bytes": peak, "ratio": peak / larger}


def edited(model, edit):
    """The model after an edit, `"apply_half"`, `"rebuild_half"` or `"rebuild_more"`."""
    import cgap_keras

    how, what = edit.split("_")
    plan = {"half": halving, "more": growth}[what](cgap_keras.find_groups(model))
    if how == "rebuild":
        return cgap_keras.rebuild(model, plan)
    cgap_keras.apply(model, plan)
    return model


def halving(groups):
    """The plan that drops every second unit."""
    return {group.name: range(0, group.size, 2) for group in groups if not group.frozen and group.size > 1}


def growth(groups):
    """The plan that gives every fourth unit a sibling."""
    return {group.name: [*range(group.size), *range(0, group.size, 4)] for group in groups if not group.frozen}


def keras_network(name):
    import keras

    from cgap_keras import zoo
    from cgap_keras.zoo import resnet

    plain = {"weights": None, "classifier_activation": None}
    if name.startswith("resnet_cifar_"):
        return resnet._resnet(int(name.rpartition("_")[2]), (32, 32, 3), 10, 1.0, name)
    if name == "dense":
        widths = (4096, 4096, 4096, 4096)
        stack = [keras.layers.Dense(width, activation="relu") for width in widths]
        return keras.Sequential([keras.Input((1024,)), *stack, keras.layers.Dense(10)])
    if name == "vgg19":
        return zoo.vgg19()
    if name.startswith("ConvNeXt"):
        plain["include_preprocessing"] = False
    return getattr(keras.applications, name)(**plain)


def keras_network_from_arrays(name):
    """The network with weights from arrays: random initialisers leave memory behind in TensorFlow's allocator."""
    import keras
    import numpy as np

    from cgap_keras.surgery.remaking import building_without_values

    rng = np.random.default_rng(0)
    with building_without_values():
        model = keras_network(name)
    for variable in model.variables:
        random = rng.random(variable.shape, "float32").astype(variable.dtype)
        variable._initialize(keras.ops.convert_to_tensor(random, dtype=variable.dtype))
    return model


def torch_network(name):
    """The network in plain PyTorch, and an image for it."""
    import torch

    from benchmarks import torch_models

    if name.startswith("resnet_cifar_"):
        return torch_models.resnet_cifar(int(name.rpartition("_")[2])).eval(), torch.randn(1, 3, 32, 32)
    make, size = {
        "vgg19": (torch_models.vgg19, 32),
        "ResNet50": (torch_models.resnet50, 224),
        "ConvNeXtTiny": (torch_models.convnext_tiny, 224),
    }[name]
    return make().eval(), torch.randn(1, 3, size, size)


class Stopwatch:
    """Wall time and processor time since it was made; what earlier work left to collect is collected before."""

    def __init__(self):
        gc.collect()
        self._start = time.perf_counter(), time.process_time()

    def read(self):
        return {"wall_s": time.perf_counter() - self._start[0], "cpu_s": time.process_time() - self._start[1]}


def reset_peak_memory():
    """Gives free memory back to the system, and lets its count of the peak begin anew."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def read_memory(name):
    """A figure of the process, in bytes, from the system's `/proc/self/status`."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(name))
    return 1024 * int(line.split()[1])


def _flat_layers(model):
    return [layer for layer in model._flatten_layers(include_self=False) if not hasattr(layer, "layers")]


def _bytes(model):
    return sum(math.prod(variable.shape) * _ITEM_BYTES for variable in model.weights)


def _count(model):
    """Weights and statistics, as Keras counts them: without the number of batches seen."""
    return sum(x.numel() for name, x in model.state_dict().items() if not name.endswith("num_batches_tracked"))


def versions():
    """Versions of Python and of the packages that the figures depend on."""
    packages = [x.metadata["Name"] for x in importlib.metadata.distributions()]
    measured = sorted({"keras", "numpy", "tensorflow", "torch", "torch-pruning"} & set(packages))
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in measured}


JOBS = {
    "keras": time_keras,
    "torch_pruning": time_torch_pruning,
    "floor": time_floor,
    "memory": measure_memory,
    "versions": versions,
}

if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    print(json.dumps(JOBS[arguments.pop("job")](**arguments)))
