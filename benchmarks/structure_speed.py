"""How long `find_groups` and `apply` take and how much memory, beside Torch-Pruning on the same networks.

    python benchmarks/structure_speed.py --torch_python=TORCH/bin/python

TORCH is an environment with `keras`, `torch` and `torch-pruning`; this one has TensorFlow. Every figure is taken in a
child process, one at a time, the sides in turn. Writes `benchmarks/results/structure_speed.json`.
"""

import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys

from absl import app, flags, logging

from cgap_keras.report.files import write_atomically

ROOT = pathlib.Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "structure_speed.json"

NETWORKS = ("ResNet50", "resnet_cifar_110", "vgg19", "ConvNeXtTiny")
DEPTHS = (20, 56, 110, 302, 998)
APPLICATIONS = ("ConvNeXtXLarge", "EfficientNetB7", "NASNetLarge")
MEMORY_NETWORKS = ("dense", "VGG19", "ConvNeXtXLarge")
EDITS = ("apply_half", "rebuild_half", "rebuild_more")
BACKENDS = ("tensorflow", "torch")
CLOCKS = ("wall_s", "cpu_s")

_TENSORFLOW = flags.DEFINE_string("tensorflow_python", sys.executable, "Interpreter with Keras and TensorFlow.")
_TORCH = flags.DEFINE_string("torch_python", sys.executable, "Interpreter with Keras, PyTorch and Torch-Pruning.")
_REPEATS = flags.DEFINE_integer("repeats", 6, "Runs of a process in `networks`; the first is reported apart.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Processes of each side in `networks`, in turns.")
_ONLY = flags.DEFINE_multi_enum(
    "only",
    None,
    ["networks", "floor", "depths", "applications", "memory"],
    "Measure these parts and keep the others' figures.",
)


def main(argv):
    del argv
    parts = {
        "networks": measure_networks,
        "floor": measure_floor,
        "depths": measure_depths,
        "applications": measure_applications,
        "memory": measure_memory,
    }
    result = json.loads(RESULT.read_text()) if _ONLY.value and RESULT.exists() else {}
    result |= {"command": "python benchmarks/structure_speed.py", "environment": environment()}
    for name in _ONLY.value or parts:
        result[name] = parts[name]()
        write_atomically(RESULT, json.dumps(result, indent=1) + "\n")


def measure_networks():
    """Seconds of each side on the networks that both have, and the ratio of those of Torch-Pruning to ours.

    Torch-Pruning runs the network to trace it, and its time is mostly that run's: it is taken with PyTorch's own number
    of threads and with one.
    """
    result = {}
    for network in NETWORKS:
        job = {"network": network, "repeats": _REPEATS.value}
        peers = {
            "torch_pruning": ("torch", {}, {"job": "torch_pruning", **job}),
            "torch_pruning_one_thread": ("torch", {"OMP_NUM_THREADS": "1"}, {"job": "torch_pruning", **job}),
        }
        ours = {backend: (backend, {}, {"job": "keras", **job}) for backend in BACKENDS}
        # In turns, since the speed of a shared machine changes from minute to minute.
        rounds = [
            {name: run_child(backend, settings, **told) for name, (backend, settings, told) in (peers | ours).items()}
            for _ in range(_ROUNDS.value)
        ]
        every = [side for sides in rounds for side in sides.values()]
        facts = [{key: side[key] for key in ("parameters", "parameters_after")} for side in every]
        if facts.count(facts[0]) < len(facts):
            raise ValueError(f"The sides must edit the same network to the same end. Received: {facts}")
        seconds = {name: summarize(*(sides[name]["runs"] for sides in rounds)) for name in peers | ours}
        ratios = {
            f"{peer} / {backend}": {clock: seconds[peer][clock] / seconds[backend][clock] for clock in CLOCKS}
            for peer in peers
            for backend in ours
        }
        taken = {"rounds": _ROUNDS.value, "repeats": _REPEATS.value}
        result[network] = {**facts[0], **taken, "seconds": seconds, "ratios": ratios}
    return result


def measure_floor():
    """What of an edit on TensorFlow is the frameworks' own: new variables, and new layers to take shapes from."""
    result = {}
    for network in NETWORKS:
        side = run_child("tensorflow", job="floor", network=network, repeats=_REPEATS.value)
        result[network] = {key: side[key] for key in ("variables", "layers")} | summarize(side["runs"])
    return result


def measure_depths():
    """Milliseconds a layer from ResNet-20 on; one model is halved three times, the median counts."""
    result = {}
    for depth in DEPTHS:
        for backend in BACKENDS:
            side = run_child(backend, job="keras", network=f"resnet_cifar_{depth}", repeats=4, fresh=False)
            seconds = summarize(side["runs"])
            a_layer = {f"{key[:-1]}ms_a_layer": 1000 * seconds[key] / side["layers"] for key in CLOCKS}
            result.setdefault(backend, {})[depth] = {"layers": side["layers"], **seconds, **a_layer}
        one_thread = {"OMP_NUM_THREADS": "1"}
        peer = run_child("torch", one_thread, job="torch_pruning", network=f"resnet_cifar_{depth}", repeats=3)
        result.setdefault("torch_pruning_one_thread", {})[depth] = summarize(peer["runs"])
    return result


def measure_applications():
    """Seconds for the largest networks of `keras.applications`, the only run of a process."""
    result = {}
    for network in APPLICATIONS:
        for backend in BACKENDS:
            side = run_child(backend, job="keras", network=network, repeats=1)
            facts = {key: side[key] for key in ("parameters", "parameters_after", "layers")}
            result.setdefault(network, facts)[backend] = side["runs"][0]
    return result


def measure_memory():
    """Peak memory over the bytes of the weights, two children at a time."""
    jobs = [(network, backend, edit) for network in MEMORY_NETWORKS for backend in BACKENDS for edit in EDITS]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda job: run_child(job[1], job="memory", network=job[0], edit=job[2]), jobs))
    result = {}
    for (network, backend, edit), answer in zip(jobs, answers, strict=True):
        result.setdefault(network, {}).setdefault(backend, {})[edit] = answer
    return result


def summarize(*processes):
    """The first run of each process apart, and the medians of the others."""
    firsts, others = [runs[0] for runs in processes], [run for runs in processes for run in runs[1:]]
    first = {"first_wall_s": statistics.median(run["wall_s"] for run in firsts)}
    return first | {key: statistics.median(run[key] for run in others) for key in firsts[0]}


def environment():
    versions = {}
    for backend in BACKENDS:
        versions |= run_child(backend, job="versions")
    return versions | {"cores": os.cpu_count()}


def run_child(backend, settings=None, /, **job):
    """The answer of a child process of `structure_jobs.py`."""
    python = {"tensorflow": _TENSORFLOW.value, "torch": _TORCH.value}[backend]
    logging.info("%s: %s", backend, job)
    own = {"KERAS_BACKEND": backend, "PYTHONWARNINGS": "ignore", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [python, "-m", "benchmarks.structure_jobs", json.dumps(job)]
    child = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **own, **(settings or {})}, capture_output=True, text=True
    )
    if child.returncode:
        raise RuntimeError(f"{command} failed: {child.stderr}")
    return json.loads(child.stdout.splitlines()[-1])


if __name__ == "__main__":
    app.run(main)
