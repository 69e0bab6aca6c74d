"""How reliably known widths are found: those of a teacher, over draws of the task, by each criterion that claims to.

    KERAS_BACKEND=tensorflow python -m benchmarks.planted_widths

The task is that of `tests/callbacks/test_planted_widths.py`. Writes `benchmarks/results/planted_widths.json`.
"""

import collections
import json
import os
import pathlib
import platform

import keras

from cgap_keras.report.files import write_atomically
from tests.callbacks.test_planted_widths import TEACHER, found_widths

CRITERIA = ("taylor", "taylor_activation", "fisher", "l1", "l2")
NORMALIZE = ("none", "mean")
DRAWS = range(6)


def main():
    rows = [
        {"criterion": criterion, "normalize": normalize, "draw": draw, "widths": widths}
        for criterion in CRITERIA
        for normalize in NORMALIZE
        for draw in DRAWS
        for _, widths in [found_widths(criterion, draw, normalize)]
    ]
    result = {
        "command": "python -m benchmarks.planted_widths",
        "environment": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""),
        },
        "teacher": TEACHER,
        "draws_off_by": summarize(rows),
        "rows": rows,
    }
    path = pathlib.Path(__file__).parent / "results" / "planted_widths.json"
    write_atomically(path, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["draws_off_by"], indent=1))


def summarize(rows):
    """`{normalize: {criterion: {by how many units: in how many draws}}}`."""
    counts = collections.defaultdict(lambda: collections.defaultdict(collections.Counter))
    for row in rows:
        off = abs(row["widths"]["left"] - TEACHER["left"])
        counts[row["normalize"]][row["criterion"]][str(off)] += 1
    return {
        normalize: {criterion: dict(sorted(off.items())) for criterion, off in of_criterion.items()}
        for normalize, of_criterion in counts.items()
    }


if __name__ == "__main__":
    main()
