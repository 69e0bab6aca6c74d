"""A training with growth and pruning, killed at random moments and started again: does it end as if nothing had been?

    PYTHONPATH=. TF_ENABLE_ONEDNN_OPTS=0 python benchmarks/kill_runs.py

Every run is a process of its own that gets `SIGKILL`: at any moment, in the middle of an edit, or in the middle of a
write, in turn. It is started again until it ends; structure, weights, optimizer state and history must then be those of
a run that was left alone, to the last bit. Writes `benchmarks/results/kill_runs.json`.
"""

import itertools
import json
import os
import pathlib
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time

import keras

from cgap_keras.callbacks import structure
from cgap_keras.callbacks.backup.file import BackupFile
from cgap_keras.report.files import write_atomically
from tests.callbacks.killed_training import train

KILLS, KINDS, SEED = 30, ("any", "edit", "write"), 0
RESULT = pathlib.Path(__file__).parent / "results" / "kill_runs.json"


def main():
    draw, expected = random.Random(SEED), run(None)
    moments = {"any": [expected["seconds"]], **{kind: spans(expected["lines"], kind) for kind in KINDS[1:]}}
    kills, endings, kinds = [], [], itertools.cycle(KINDS)
    while len(kills) < KILLS:
        with tempfile.TemporaryDirectory() as parent:
            directory, result = os.path.join(parent, "backup"), None
            while result is None:
                kill = moment(draw, next(kinds), moments) if len(kills) < KILLS else None
                found = run(directory, kill)
                result = found.get("result")
                if result is None:
                    kills.append({"kind": kill[0], "in": found["doing"], "left": files(directory)})
            endings.append({"equal": result == expected["result"], "left_behind": os.listdir(parent)})
    write_atomically(RESULT, json.dumps(report(expected, kills, endings), indent=1) + "\n")
    print(json.dumps(endings))


def files(directory):
    """What lies in a directory, which is made when training begins."""
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def report(expected, kills, endings):
    """What is kept of the runs."""
    return {
        "command": "PYTHONPATH=. TF_ENABLE_ONEDNN_OPTS=0 python benchmarks/kill_runs.py",
        "environment": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
        },
        "setting": "tests/callbacks/killed_training.py, traced, with deterministic operations on the CPU",
        "edits": [edit["kind"] for edit in expected["result"]["edits"]],
        "seconds_left_alone": round(expected["seconds"], 1),
        "kills": kills,
        "killed_in": {doing: sum(kill["in"] == doing for kill in kills) for doing in ("step", "edit", "write", "end")},
        "trainings": endings,
        "all_equal": all(ending["equal"] for ending in endings),
    }


def moment(draw, kind, moments):
    """`(kind, which of its spans, seconds into it)`, at random."""
    which = draw.randrange(len(moments[kind]) if kind != "write" else 8)
    return kind, which, draw.uniform(0, moments[kind][which])


def spans(lines, kind):
    """How long each edit or write took, in seconds."""
    times = [end - begin for (begin, text), (end, _) in itertools.pairwise(lines) if text == kind]
    return [max(times[0], statistics.median(times))] * len(times)


def run(directory, kill=None):
    """Runs the training in a process, and kills it."""
    command = [sys.executable, __file__, "--train", directory or ""]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    lines, kind, which = [], *(kill[:2] if kill else (None, 0))
    for text in map(str.strip, process.stdout):
        lines.append((time.perf_counter(), text))
        if kill and text == ("step" if kind == "any" else kind):
            if which == 0:
                # Time for more to happen; an ended process is not harmed.
                time.sleep(kill[2])
                process.kill()
                kill = None
            which -= 1
    process.wait()
    process.stdout.close()
    last = lines[-1][1]
    if process.returncode == 0:
        begin = next(at for at, text in lines if text == "step")
        return {"result": json.loads(last), "lines": lines, "seconds": lines[-1][0] - begin}
    # A process that has told its result can still be killed while it ends.
    return {"doing": "end" if last.startswith("{") else last}


def train_and_tell(directory):
    """The training, telling on standard output when an edit or a write begins and ends."""
    for owner, name, kind in ((structure, "apply", "edit"), (BackupFile, "write", "write")):
        setattr(owner, name, telling(getattr(owner, name), kind))
    tell("step")
    tell(json.dumps(train(directory or tempfile.mkdtemp(), run_eagerly=False)))


def telling(function, kind):
    """The function, telling when it begins and ends."""

    def call(*args, **kwargs):
        tell(kind)
        result = function(*args, **kwargs)
        tell("step")
        return result

    return call


def tell(text):
    """Writes a line at once: what a buffer holds dies with the process."""
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    if "--train" in sys.argv:
        train_and_tell(sys.argv[-1])
    else:
        main()
