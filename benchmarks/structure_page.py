"""Makes docs/speed.md of structure_speed.json and edit_costs_*.json in benchmarks/results.

python benchmarks/structure_page.py
"""

import json
import pathlib
import statistics

ROOT = pathlib.Path(__file__).parents[1]
BACKENDS = {"torch": "PyTorch", "tensorflow": "TensorFlow"}
NAMES = {
    "ResNet50": "ResNet-50",
    "resnet_cifar_110": "ResNet-110",
    "vgg19": "VGG-19 (32 x 32)",
    "ConvNeXtTiny": "ConvNeXt-T",
    "dense": "four `Dense` of 4096",
    "VGG19": "VGG-19 (224 x 224)",
    "ConvNeXtXLarge": "ConvNeXt-XL",
}
PAGE = """# Speed and memory

How long `find_groups` and `apply` take, beside Torch-Pruning, and how much memory an edit needs. Measured on two cores
by

    python benchmarks/structure_speed.py --torch_python=TORCH/bin/python
    python benchmarks/structure_page.py

where TORCH is an environment with `keras`, `torch` and `torch-pruning`. `--only=networks` (`floor`, `depths`,
`applications`, `memory`) measures one part again. Every figure is in `benchmarks/results/structure_speed.json`, with
the versions.

## Beside Torch-Pruning

The same network on both sides, with equal numbers of weights before and after, and the same job: find all groups, drop
every second unit of each but the logits. Here that is `find_groups` and `apply`, which proves the edit on drafts of
layers before anything moves, and would carry optimizer state; there it is `DependencyGraph().build_dependency` and
`prune` on each group of `get_all_groups`, as its README shows. Seconds, medians over fresh models; in brackets the
first run of the process.

{networks}

Torch-Pruning's time over ours, from the same figures; above 1 this library is the faster one:

{compared}

**This library is the faster one in {ahead} of these {all} comparisons**; the least of the ratios is {least:.2f}. Time
a layer grows with the depth for Torch-Pruning (below), and not for this library. On TensorFlow much of an edit is not
the library's: each weight of another shape is read, gets a new resource and is assigned to it, and each layer of
another shape takes one of its class made anew, whose own constructor and `build` work out what follows from the width.
The least that this takes, in seconds, without the groups, the gathering of weights, the `tf.Variable` around each
resource and the building and calling of layers:

{floors}

`tf.Variable`'s own constructor would take six times what the two operations in it take, so variables are made without
it (`surgery/tensorflow_variables.py`). Values are gathered into memory that TensorFlow and PyTorch take over as it is.

## Depth

Milliseconds of processor time for each layer of a ResNet for 32 x 32 images, one model halved three times, the median.
Torch-Pruning has one thread in this table.

{depths}

An edit holds off Python's collector of cyclic garbage, which would visit the model's own objects again and again while
it makes new ones: with it, a layer of ResNet-998 took 0.43 ms on PyTorch and 0.87 ms on TensorFlow.

Keras builds a functional model by recursion, so networks this deep take `sys.setrecursionlimit`.

## The largest of `keras.applications`

Seconds for halving every group, the only run of a process; building the model is not counted.

{applications}

## Memory

The highest memory of the process during an edit, less what it had before the model was built, over the bytes of the
weights (for growth, of the grown model). The model itself is in it, and for `rebuild` the original too.

{memory}

No initializer runs, an edited weight is never copied first, nor a new value once it is gathered: variables share its
memory. What is left is the old weights, the new ones and, of the weights that are being gathered, what the first of
two axes leaves, of a large weight a block at a time. VGG-19 keeps 72 % of its weights in one matrix.

## In training

What edits cost a training, by

    KERAS_BACKEND=tensorflow python benchmarks/edit_costs.py

and the same for `torch` and `jax` (`benchmarks/results/edit_costs_*.json`).

{training}

*A step* is one of ResNet-20 with {batch} images, with the observer that `CGaP` has between edits over one of a twin
without it, step for step in turns: the median over {turns} turns, and between which values that median lies in 95 of
100 bootstrap samples. *An edit* is one that
`CGaP` makes of a ResNet-110 in `fit`: scores, groups, plan, `apply` with Adam's state, and observing anew; the
median, and the longest. *The next step* is the first one after it, less one of the later ones: on TensorFlow and JAX
that is the framework, which traces and compiles. *Memory* is what a process grows by for each of 200 edits of a small
network with a step in between, over the second hundred.
"""


def main():
    result = json.loads((ROOT / "benchmarks" / "results" / "structure_speed.json").read_text())
    ratios = [ratio["wall_s"] for row in result["networks"].values() for ratio in row["ratios"].values()]
    ahead = {"ahead": sum(ratio > 1 for ratio in ratios), "all": len(ratios), "least": min(ratios)}
    tables = {**compare(result["networks"]), "depths": by_depth(result["depths"])}
    tables |= {"applications": largest(result["applications"]), "memory": peaks(result["memory"])}
    tables |= {**in_training(), "floors": floors(result["floor"])}
    (ROOT / "docs" / "speed.md").write_text(PAGE.format(**tables, **ahead))


def compare(networks):
    """The seconds of each side, and those of Torch-Pruning over ours."""
    sides = {"torch_pruning": "Torch-Pruning", "torch_pruning_one_thread": "Torch-Pruning, one thread"}
    sides |= {backend: f"cgap-keras on {name}" for backend, name in BACKENDS.items()}
    rows = [[NAMES[name], *(seconds(row["seconds"][side]) for side in sides)] for name, row in networks.items()]
    over = ["", *(f"{sides[peer]} / ours on {BACKENDS[own]}" for peer, own in pairs())]
    ratios = [
        [NAMES[name], *(f"{row['ratios'][f'{peer} / {own}']['wall_s']:.2f}" for peer, own in pairs())]
        for name, row in networks.items()
    ]
    return {"networks": table(["", *sides.values()], rows), "compared": table(over, ratios)}


def floors(networks):
    """What of an edit on TensorFlow is the frameworks' own."""
    rows = [
        [NAMES[name], row["variables"], row["layers"], f"{row['variables_s']:.3f}", f"{row['wall_s']:.3f}"]
        for name, row in networks.items()
    ]
    return table(["", "variables", "layers", "reading and making variables", "and making layers"], rows)


def by_depth(depths):
    """Milliseconds of processor time a layer."""
    layers = [row["layers"] for row in depths["torch"].values()]
    peer = zip(depths["torch_pruning_one_thread"].values(), layers, strict=True)
    rows = [
        [name, *(f"{row['cpu_ms_a_layer']:.2f}" for row in depths[backend].values())]
        for backend, name in BACKENDS.items()
    ]
    rows.append(["Torch-Pruning", *(f"{1000 * row['cpu_s'] / count:.2f}" for row, count in peer)])
    return table(["", *(f"ResNet-{depth}" for depth in depths["torch"])], rows)


def largest(applications):
    """Seconds for the largest applications."""
    rows = [
        [name, f"{row['parameters'] / 1e6:.0f} M", row["layers"], *(f"{row[b]['wall_s']:.1f}" for b in BACKENDS)]
        for name, row in applications.items()
    ]
    return table(["", "parameters", "layers", *(f"on {name}" for name in BACKENDS.values())], rows)


def peaks(memory):
    """Peak memory over the weights."""
    rows = [
        [NAMES[name], label, *(f"{edit['ratio']:.2f}" for edit in row[backend].values())]
        for name, row in memory.items()
        for backend, label in BACKENDS.items()
    ]
    return table(["", "", "`apply`, half", "`rebuild`, half", "`rebuild`, 25 % more units"], rows)


def in_training():
    """What edits cost a training, on each backend that was measured."""
    rows = []
    for backend, name in {**BACKENDS, "jax": "JAX"}.items():
        path = ROOT / "benchmarks" / "results" / f"edit_costs_{backend}.json"
        if path.exists():
            step, edit, memory = (json.loads(path.read_text())[part] for part in ("step", "edit", "memory"))
            edits, (low, high) = edit["seconds_an_edit"], step["overhead_percent_95_interval"]
            firsts = edit["seconds_of_the_first_step_after"][1 : len(edits) + 1]
            rows.append(
                [
                    name,
                    f"{step['overhead_percent']:+.1f} % ({low:+.1f} to {high:+.1f})",
                    f"{statistics.median(edits):.2f} s ({max(edits):.2f} s)",
                    f"{statistics.median(firsts) - edit['seconds_of_a_later_step']:.1f} s",
                    f"{1024 * memory['mib_an_edit_in_the_second_half']:.0f} KiB",
                ]
            )
    return {
        "training": table(["", "a step", "an edit", "the next step", "memory"], rows),
        "batch": step["batch"],
        "turns": step["turns"],
    }


def pairs():
    """Each setting of Torch-Pruning with each backend."""
    return [(peer, own) for peer in ("torch_pruning", "torch_pruning_one_thread") for own in BACKENDS]


def seconds(row):
    return f"{row['wall_s']:.2f} ({row['first_wall_s']:.2f})"


def table(header, rows):
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


if __name__ == "__main__":
    main()
