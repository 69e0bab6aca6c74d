"""Runs `examples/grow_and_prune.py` over several seeds and keeps the figures.

    python benchmarks/example_runs.py --name=digits_seeds --seeds=0,1,2,3,4
    python benchmarks/example_runs.py --name=mnist_short --seeds=0 -- --dataset=mnist --model=lenet5 --epochs=6

What follows `--` goes to the example. The result, `benchmarks/results/NAME.json`, holds the command and the environment
of each run beside its figures. Latencies depend on the machine and on what else it does; accuracies, sizes and FPGA
figures do not.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from absl import app, flags

from cgap_keras.report.files import write_atomically

HERE = pathlib.Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "grow_and_prune.py"
KEPT = ("dataset", "model", "seed", "epochs", "command", "environment", "dense", "compact")

NAME = flags.DEFINE_string("name", None, "Name of the result.", required=True)
SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds, one run each.")


def main(argv):
    runs = [run(seed, argv[1:]) for seed in SEEDS.value]
    path = write_atomically(HERE / "results" / f"{NAME.value}.json", json.dumps(summarize(runs), indent=1) + "\n")
    print(f"{path}: {len(runs)} runs")


def run(seed, arguments):
    """One run of the example: its summary, without what only its report needs."""
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([sys.executable, EXAMPLE, f"--seed={seed}", f"--out={out}", *arguments], check=True)
        summary = json.loads((pathlib.Path(out) / "summary.json").read_text())
    edits = [{key: edit[key] for key in ("epoch", "kind", "widths", "params_after")} for edit in summary["edits"]]
    command = " ".join(["python examples/grow_and_prune.py", f"--seed={seed}", *arguments])
    return {**{key: summary[key] for key in KEPT}, "command": command, "edits": edits}


def summarize(runs):
    """The runs, and over all of them what the README quotes."""
    lost = [100 * (r["dense"]["accuracy"] - r["compact"]["accuracy"]) for r in runs]
    fewer = [100 * (1 - r["compact"]["params"] / r["dense"]["params"]) for r in runs]
    return {
        "points_lost": {"mean": statistics.mean(lost), "worst": max(lost), "each": lost},
        "percent_fewer_params": {"mean": statistics.mean(fewer), "least": min(fewer)},
        "runs": runs,
    }


if __name__ == "__main__":
    app.run(main)
