"""Collects the rows of many runs into a table and a plot.

    python examples/collect.py runs/cifar10/resnet20/*/*/row.json --out=runs/cifar10

Writes `table.md` and `plot.png`. Runs that may not be averaged or compared (another data set, network, split, number of
images or of epochs) go into tables of their own.
"""

import json
import os
import pathlib
import sys

import comparison
import plot
from absl import app, flags

FLAGS = flags.FLAGS

flags.DEFINE_string("out", "runs", "Folder for table.md and plot.png; made if it is not there.")


def main(argv):
    try:
        if len(argv) < 2:
            raise ValueError("the paths of rows are needed. Received: none")
        tables = comparison.compare([read(path) for path in argv[1:]])
        out = pathlib.Path(FLAGS.out)
        out.mkdir(parents=True, exist_ok=True)
        text = comparison.to_markdown(tables)
        (out / "table.md").write_text(text)
        plot.draw(tables, out / "plot.png")
    except (ValueError, OSError) as error:
        sys.exit(f"collect: {error}")
    print(f"{text}\n{os.path.join(FLAGS.out, 'table.md')}, {os.path.join(FLAGS.out, 'plot.png')}")


def read(path):
    """A row, checked."""
    try:
        row = json.loads(pathlib.Path(path).read_text())
    except ValueError as error:
        raise ValueError(f"a row must be a file of JSON ({error}). Received: {path}") from error
    missing = [] if not isinstance(row, dict) else [name for name in comparison.NEEDED if name not in row]
    if not isinstance(row, dict) or missing:
        raise ValueError(f"a row must be what train.py writes, and lacks {', '.join(missing)}. Received: {path}")
    if not row["finished"]:
        raise ValueError(f"the run ended before its network was at the target. Leave it out. Received: {path}")
    return row


if __name__ == "__main__":
    app.run(main)
