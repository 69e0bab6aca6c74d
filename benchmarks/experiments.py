"""Runs the experiments of the README: every method and seed of one, by examples/train.py, and keeps their rows.

    python benchmarks/experiments.py --name=mnist_cnn --seeds=0,1,2 -- --data_dir=...
    python examples/collect.py benchmarks/results/mnist_cnn/*.json --out=runs/mnist_cnn

What follows `--` goes to the script; `--test` among it makes the rows those of the test images, for the final table. A
run that was interrupted goes on, and one that has its row is not run again.
"""

import json
import pathlib
import subprocess
import sys

from absl import app, flags

ROOT = pathlib.Path(__file__).parents[1]
# Relative, as everybody would write it: rows hold the command that made them.
SCRIPT = pathlib.Path("examples", "train.py")

# What all runs of an experiment have in common, and the methods with what they need besides. What follows a dash names
# a variant. `retrain` takes the structure of the same seed's `cgap`, and of the same variant.
_MNIST = ("--dataset=mnist", "--currency=params")
_MNIST_CNN = (*_MNIST, "--augmentation=shift", "--model=mnist_cnn", "--epochs=40", "--fine_tune=0.7")
# As LeNet-5 is published, on images as they are. Rate and epochs were chosen on validation images: with SGD and its
# weight decay a hand-made LeNet-5 of 7,668 parameters had 99.24 % after 16 epochs, with a tenth of the decay 99.08 %.
_MNIST_LENET = (
    *(*_MNIST, "--augmentation=none", "--model=lenet5", "--optimizer=sgd", "--learning_rate=0.05", "--batch_size=64"),
    *("--epochs=30", "--target=0.019", "--fine_tune=0.6"),
)
# Chosen by the rows of `mnist_lenet5_choices`.
_LENET_EDITS = ("--fine_tune=0.8", "--normalize=none", "--round_to=1")
_CIFAR = ("--dataset=cifar10", "--augmentation=cifar")
_CIFAR_RESNET = (*_CIFAR, "--model=resnet20", "--epochs=20", "--target=0.36", "--capacity=0.6")
# On PyTorch and processors, which takes 2.6 times as long without.
_QUICK = ("--dtype_policy=mixed_bfloat16", "--fused")
# More of the training at more width: what 0.6 of the dense network's training allows.
_WIDE = ("--capacity=1", "--seed_width=0.5", "--fine_tune=0.4")
# Growth over by the end of the rate's warm-up, pruning late.
_EARLY = ("--capacity=1", "--seed_width=0.5", "--growth_share=0.1", "--dense_share=0.4", "--fine_tune=0.35")
_EARLY = (*_EARLY, "--round_to=1", "--scope=local")
# Pruned late, equal shares of each layer.
_LATE = ("--fine_tune=0.35", "--round_to=1", "--scope=local")
_GRADUAL = (*_WIDE, "--fine_tune=0.2", "--prune_steps=10")
_GROWTH = ("--capacity=0.36", "--seed_width=0.3", "--round_to=1", "--scope=local")
_LENET_SEED = ("--capacity=0.1", "--seed_width=0.1")
_LENET_CGAP = (*_LENET_SEED, *_LENET_EDITS, "--capacity=0.4")
_LENET_FULL = ("--seed_width=0.25", "--capacity=1", "--growth_share=0.1", "--dense_share=0.4", "--fine_tune=0.5")
_LENET_FULL = (*_LENET_FULL, "--prune_steps=10")
# At about the 0.9 M parameters of the pruned VGG-16 that others publish.
_CIFAR_VGG = (*_CIFAR, "--model=vgg16", "--currency=params", "--target=0.06", "--epochs=4", "--fine_tune=0.35", *_QUICK)
_VGG_CGAP = ("--capacity=0.25", "--growth_share=0.1", "--dense_share=0.4")
# Chosen by the rows of `cifar10_vgg16_choices`.
_VGG_EDITS = ("--scope=local", "--round_to=1", "--fine_tune=0.6")
_COMPARISON = {"dense": (), "narrow": (), "prune": (), "cgap": (), "retrain": ()}
# Chosen by the rows of `cifar10_resnet20_choices`; CGaP's last edit comes early enough for 0.6 of the training.
_RESNETS = _COMPARISON | {"cgap": (*_EARLY, "--fine_tune=0.42"), "prune": _LATE}


def _structures(model, names):
    """`retrain` with each of some structures of `benchmarks/structures`."""
    return {f"retrain-{name}": (f"--structure=benchmarks/structures/{model}_{name}.json",) for name in names}


EXPERIMENTS = {
    "mnist_cnn": (_MNIST_CNN, {"cgap": (), "retrain": (), "narrow": ()}),
    "mnist_lenet5": (_MNIST_LENET, _COMPARISON | {"cgap": _LENET_CGAP, "prune": _LENET_EDITS}),
    "mnist_lenet5_choices": (
        (*_MNIST_LENET, "--epochs=16"),
        {
            **{"dense": (), "narrow": (), "cgap": _LENET_SEED},
            "cgap-none": (*_LENET_SEED, "--normalize=none"),
            "cgap-max": (*_LENET_SEED, "--normalize=max"),
            "cgap-any-width": (*_LENET_SEED, "--normalize=none", "--round_to=1"),
            "cgap-fisher": (*_LENET_SEED, "--normalize=none", "--criterion=fisher"),
            "cgap-long-mean": (*_LENET_SEED, "--epochs=30"),
            "cgap-long": (*_LENET_SEED, "--normalize=none", "--round_to=1", "--epochs=30"),
            "cgap-long-quick": (*_LENET_SEED, *_LENET_EDITS, "--epochs=30"),
            # Beside the last, one choice changed at a time.
            "cgap-long-quicker": (*_LENET_SEED, *_LENET_EDITS, "--epochs=30", "--fine_tune=0.9"),
            "cgap-long-decay": (*_LENET_SEED, *_LENET_EDITS, "--epochs=30", "--weight_decay=1e-3"),
            "cgap-long-more-decay": (*_LENET_SEED, *_LENET_EDITS, "--epochs=30", "--weight_decay=2e-3"),
            "cgap-long-rate": (*_LENET_SEED, *_LENET_EDITS, "--epochs=30", "--learning_rate=0.1"),
            "cgap-long-batch": (*_LENET_SEED, *_LENET_EDITS, "--epochs=30", "--batch_size=32"),
            "cgap-long-capacity": (*_LENET_CGAP, "--epochs=30"),
            # From the whole of LeNet-5, early grown and slowly pruned.
            "cgap-long-full": (*_LENET_CGAP, *_LENET_FULL, "--epochs=30"),
            "prune-long": (*_LENET_EDITS, "--epochs=30", "--fine_tune=0.5", "--prune_steps=10"),
            "cgap-longer": (*_LENET_CGAP, "--epochs=60"),
            "cgap-long-shift": (*_LENET_SEED, *_LENET_EDITS, "--epochs=30", "--augmentation=shift"),
            "dense-long-shift": ("--epochs=30", "--augmentation=shift"),
        },
    ),
    # Which structures of at most 8,190 parameters are good at all; the first is one that CGaP found.
    "mnist_lenet5_structures": (
        _MNIST_LENET,
        _structures("lenet5", ("cgap", "wide_convolutions", "wider_convolutions", "wide_second", "wide_dense")),
    ),
    "cifar10_resnet20": (
        (*_CIFAR_RESNET, "--epochs=8", *_QUICK),
        _RESNETS,
    ),
    # Three times as long, with the same choices: what the length is worth to whom.
    "cifar10_resnet20_long": (
        (*_CIFAR_RESNET, "--epochs=24", *_QUICK),
        _RESNETS,
    ),
    # Too short for accuracies to mean anything. To be run on an idle machine, the two methods on a core each.
    "cifar10_resnet20_seconds": ((*_CIFAR_RESNET, "--epochs=3"), {"dense": (), "cgap": ()}),
    "cifar10_vgg16": (
        _CIFAR_VGG,
        {
            **(_COMPARISON | {"cgap": (*_VGG_CGAP, *_VGG_EDITS), "prune": _VGG_EDITS}),
            # As they were before there were rows to choose by.
            **{"cgap-late": _VGG_CGAP, "prune-late": (), "retrain-late": ()},
        },
    ),
    "cifar10_vgg16_choices": (
        _CIFAR_VGG,
        {
            **{"narrow": (), "cgap": _VGG_CGAP, "cgap-early": (*_VGG_CGAP, "--fine_tune=0.6")},
            # Equal shares of each layer, and so nearly the narrow network's structure.
            "cgap-local": (*_VGG_CGAP, *_VGG_EDITS, "--fine_tune=0.35"),
            "cgap-local-early": (*_VGG_CGAP, *_VGG_EDITS),
        },
    ),
    # At the 2.1 times fewer multiply-accumulates of the pruned ResNet-56 that others publish, with ResNet-20's choices.
    "cifar10_resnet56": (
        (*_CIFAR, "--model=resnet56", "--target=0.476", "--epochs=4", *_QUICK),
        _RESNETS,
    ),
    # Which structures of equal cost are good at all, whoever finds them.
    "cifar10_resnet20_structures": (
        (*_CIFAR_RESNET, "--epochs=8", *_QUICK),
        {
            "narrow": (),
            **_structures("resnet20", ("wide_stream", "narrow_stream", "late", "early")),
        },
    ),
    "cifar10_resnet20_choices": (
        (*_CIFAR_RESNET, "--epochs=8", "--fine_tune=0.5"),
        {
            **_COMPARISON,
            # One choice changed at a time.
            "cgap-quick": ("--fine_tune=0.75",),
            "cgap-none": ("--normalize=none",),
            "cgap-max": ("--normalize=max",),
            "cgap-local": ("--scope=local",),
            "cgap-local-quick": ("--scope=local", "--fine_tune=0.75"),
            "cgap-isomorphic": ("--scope=isomorphic",),
            "cgap-any-width": ("--round_to=1",),
            "cgap-l2": ("--criterion=l2",),
            "cgap-fisher": ("--criterion=fisher",),
            "cgap-rate": ("--learning_rate=0.05",),
            "cgap-capacity": ("--capacity=0.45",),
            "cgap-wide": _WIDE,
            "cgap-wide-any-width": (*_WIDE, "--round_to=1"),
            "cgap-wide-local-any-width": (*_WIDE, "--round_to=1", "--scope=local"),
            "cgap-early": _EARLY,
            # More steps after the last edit. In the precision of the rows of the test images, unlike those above.
            "cgap-early-quick": (*_EARLY, *_QUICK, "--fine_tune=0.6"),
            # In many small edits, the last of them where the learning rate is low.
            "cgap-gradual": (*_GRADUAL, "--round_to=1"),
            "cgap-gradual-local": (*_GRADUAL, "--round_to=1", "--scope=local"),
            # Growth alone, up to the width at which the others end.
            "cgap-growth-alone": _GROWTH,
            "cgap-growth-alone-early": (*_GROWTH, "--fine_tune=0.9"),
            "cgap-growth-alone-noisy": (*_GROWTH, "--noise=2"),
            "cgap-growth-alone-zero": (*_GROWTH, "--new_units=zero", "--noise=2"),
            "cgap-growth-alone-shares": _GROWTH,
            "prune-late": ("--fine_tune=0.35",),
            "prune-late-local": _LATE,
        },
    ),
}

NAME = flags.DEFINE_enum("name", None, list(EXPERIMENTS), "Which experiment.", required=True)
SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds.")
METHODS = flags.DEFINE_list("methods", None, "Which of its methods. Default: all.")
RUNS = flags.DEFINE_string("runs", "runs", "Folder for networks, curves and backups.")


def main(argv):
    shared, methods = EXPERIMENTS[NAME.value]
    for seed in SEEDS.value:
        for method in METHODS.value or methods:
            keep(run(method, seed, (*shared, *methods[method], *argv[1:])), method, seed)


def run(method, seed, arguments):
    """Runs a method with a seed; the path of the row that it leaves."""
    folder = pathlib.Path(RUNS.value, NAME.value)
    ending = f"{seed}-test" if "--test" in arguments else seed
    out = folder / f"{method}-{ending}"
    # A flag that is given twice counts as it is given last.
    command = [f"--method={method.partition('-')[0]}", f"--seed={seed}", f"--out={out}", *arguments]
    if method.startswith("retrain") and not any(x.startswith("--structure") for x in arguments):
        origin = method.replace("retrain", "cgap", 1)
        command.append(f"--structure={folder / f'{origin}-{ending}' / 'row.json'}")
    subprocess.run([sys.executable, SCRIPT, *command], check=True, cwd=ROOT)
    return ROOT / out / "row.json"


def keep(path, method, seed):
    """Puts a row beside the other results, without the index vectors of its edits, which are long."""
    from cgap_keras.report.files import write_atomically

    row = json.loads(path.read_text())
    row["edits"] = [{**edit, "plan": {}} for edit in row["edits"]]
    results = ROOT / "benchmarks" / "results" / NAME.value
    results.mkdir(exist_ok=True)
    write_atomically(results / f"{method}-{row['split']}-{seed}.json", json.dumps(row) + "\n")


if __name__ == "__main__":
    app.run(main)
