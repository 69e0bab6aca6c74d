"""Trains one network by one method and writes its row of figures, for an experiment of many such runs.

    python examples/train.py --method=dense --model=resnet20 --dataset=cifar10
    python examples/train.py --method=cgap --model=resnet20 --dataset=cifar10 --target=0.4
    python examples/train.py --method=dense --model=lenet5 --dataset=path/to/mnist.npz  # on any backend of Keras
    python examples/collect.py runs/cifar10/resnet20/*/*/row.json --out=runs/cifar10

The same command goes on with a run that was killed, and leaves one that is finished alone; so a list of commands can be
started again as it is. docs/experiments.md tells how to compare methods.
"""

import json
import os
import pathlib
import shlex
import shutil
import sys
import tempfile

import recipes
from absl import app, flags, logging

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "method",
    None,
    recipes.METHODS,
    "dense: the network at full width. narrow: all layers narrower by one share, at the target's cost. retrain: the "
    "structure of --structure with new weights. prune: from full width down to the target. cgap: from a seed up to the "
    "capacity and down to the target.",
    required=True,
)
flags.DEFINE_enum("model", "digits_cnn", sorted(recipes.RECIPES), "The network.")
flags.DEFINE_string(
    "dataset",
    "digits",
    "The data set: digits, the path of an .npz file with x_train, y_train, x_test and y_test, or an "
    "image-classification set of TensorFlow Datasets such as mnist or cifar10.",
)
flags.DEFINE_string("data_dir", None, "Folder of prepared TensorFlow Datasets. Default: TFDS_DATA_DIR, or a download.")
flags.DEFINE_integer("seed", 0, "Seed of initial weights, data order, augmentation and noise.")
flags.DEFINE_bool(
    "test",
    False,
    "Train on all training images and report the figure on the test images, for the final table. Otherwise a tenth of "
    "the training images is held out, always the same, and the figure is on those.",
)
flags.DEFINE_integer("epochs", None, "Epochs. Default: by the network.", 1)
flags.DEFINE_integer("batch_size", None, "Images a training step. Default: by the network.", 1)
flags.DEFINE_enum(
    "optimizer",
    None,
    ["sgd", "adam"],
    "sgd: Nesterov momentum 0.9 and --weight_decay on kernels. adam: without decay. Default: by the network.",
)
flags.DEFINE_float(
    "learning_rate",
    None,
    "The peak of the learning rate, reached over 5 % of the steps; then it falls to zero along half a cosine. Default: "
    "by the network.",
    0.0,
)
# 5e-4 as in the published recipes for CIFAR-10.
flags.DEFINE_float("weight_decay", 5e-4, "For sgd: what part of a kernel is added to its gradient.", 0.0)
flags.DEFINE_enum(
    "augmentation",
    None,
    ["none", "cifar", "shift"],
    "cifar: random crops of the image with a border of 4, and random flips. shift: small shifts and turns. Default: by "
    "the data set.",
)
flags.DEFINE_enum(
    "dtype_policy",
    None,
    ["float32", "mixed_bfloat16"],
    "Precision of the network's activations and products. Default: Keras's, float32.",
)
flags.DEFINE_bool("fused", None, "Train with PyTorch's own kernels in place of Keras's, see fused_kernels.py.")
flags.DEFINE_enum("currency", "macs", ["macs", "params"], "What --capacity and --target are shares of.")
flags.DEFINE_float("capacity", None, "Where growth ends, as a share of the dense network's cost.", 0.0, 1.0)
flags.DEFINE_float("target", None, "Where pruning ends, as a share of the dense network's cost.", 0.0, 1.0)
flags.DEFINE_float("seed_width", 0.25, "Width of the seed of cgap, as a share of the dense network's.", 0.01, 1.0)
flags.DEFINE_float("growth_rate", 0.5, "The share of each layer's units that get a sibling at one edit.", 0.01, 1.0)
flags.DEFINE_string("new_units", None, "How new units are made, see docs/method.md. Default: the library's.")
flags.DEFINE_float("noise", None, "What tells a new unit from its parent, see there. Default: the library's.", 0.0)
flags.DEFINE_integer("prune_steps", 5, "Over how many edits the network is pruned.", 1)
flags.DEFINE_float(
    "fine_tune",
    0.75,
    "The share of the steps that follows the last edit; the edits are spread over the rest.",
    0.0,
    0.99,
)
flags.DEFINE_float(
    "growth_share",
    None,
    "For cgap, without --every: the share of the steps before fine-tuning in which the network grows; pruning begins "
    "after --dense_share of them. Default: all edits come at equal distances.",
    0.01,
    0.99,
)
flags.DEFINE_float(
    "dense_share",
    0.5,
    "For prune, and for cgap with --growth_share, without --every: the share of the steps before fine-tuning in which "
    "the network trains unpruned.",
    0.0,
    0.99,
)
flags.DEFINE_integer("every", None, "Epochs between edits, in place of --fine_tune.", 1)
flags.DEFINE_string("criterion", "taylor", "How the saliency of a unit is measured, as cgap_keras.CGaP takes it.")
flags.DEFINE_string("normalize", None, "What saliencies are divided by, see docs/method.md. Default: the library's.")
flags.DEFINE_string("scope", None, "Which units are compared, see docs/method.md. Default: the library's.")
flags.DEFINE_integer("round_to", None, "What kept widths are multiples of. Default: the library's.", 1)
flags.DEFINE_string("structure", None, "For retrain: the row.json of a run, or a .keras file.")
flags.DEFINE_integer("limit", None, "Use only so many training images, and as many test images.", 2)
flags.DEFINE_integer("backup_every", 200, "Steps between backups; there is one at the end of each epoch, too.", 1)
flags.DEFINE_string("out", None, "Folder for the results. Default: runs/DATASET/MODEL/METHOD/seedSEED.")
flags.DEFINE_enum("verbose", "2", ["0", "1", "2"], "What training prints: nothing, a progress bar, or a line an epoch.")

# What the figures depend on.
_SETTINGS = (
    *("method", "model", "dataset", "seed", "test", "limit", "epochs", "batch_size", "optimizer", "learning_rate"),
    *("weight_decay", "augmentation", "currency", "capacity", "target", "seed_width", "growth_rate", "growth_share"),
    *("new_units", "noise", "prune_steps", "fine_tune", "dense_share", "every", "criterion", "normalize", "scope"),
    *("round_to", "structure", "dtype_policy", "fused"),
)


def main(argv):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # With oneDNN, training a narrow ResNet-20 ended in heap corruption; see grow_and_prune.py.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # TensorFlow warns of steps that are traced anew, as each edit has it done.
    logging.set_verbosity(logging.ERROR)
    try:
        settings = read_settings(argv)
        out = default_out(settings) if FLAGS.out is None else pathlib.Path(FLAGS.out)
        check_folder(out, settings)
        if (out / "row.json").exists():
            print(f"Finished already: {out / 'row.json'}")
            return
        # Keras takes seconds to import; a wrong flag is answered before that.
        import experiment
        import row

        run = experiment.prepare(settings, FLAGS.data_dir)
    except (ValueError, OSError) as error:
        sys.exit(f"train: {error}")
    write(out / "settings.json", settings)
    print(", ".join(f"{name} {value}" for name, value in settings.items() if value is not None), flush=True)
    history, seconds = experiment.fit(run, out, FLAGS.backup_every, int(FLAGS.verbose))
    figures = {**row.make_row(run, history, seconds, out), "command": shlex.join(["python", *sys.argv])}
    write(out / "row.json", figures)
    shutil.rmtree(out / "backup")
    print(f"{figures['split']} top-1 {100 * figures['top1']:.2f} %, {figures['macs']:,} MACs: {out / 'row.json'}")


def read_settings(argv):
    """What the flags tell, the recipe's value where they tell nothing; refuses flags that do not go together."""
    if len(argv) > 1:
        raise ValueError(f"every argument is a flag, --name=value. Received: {argv[1]!r}")
    settings = recipes.complete({name: FLAGS[name].value for name in _SETTINGS})
    if settings["target"] > settings["capacity"]:
        raise ValueError(
            "--target must be at most --capacity. "
            f"Received: --target={settings['target']}, --capacity={settings['capacity']}"
        )
    if (settings["method"] == "retrain") != (settings["structure"] is not None):
        raise ValueError(
            "--method=retrain and --structure go together. "
            f"Received: --method={settings['method']}, --structure={settings['structure']}"
        )
    return {**settings, "origin": None if settings["structure"] is None else read_origin(settings["structure"])}


def read_origin(path):
    """What made the structure of a file, in a word or two."""
    if not os.path.isfile(path):
        raise ValueError(f"--structure must be a row.json or a .keras file. Received: --structure={path}")
    if not path.endswith(".json"):
        return pathlib.Path(path).stem
    try:
        row = json.loads(pathlib.Path(path).read_text())
        return f"{row['method']} to {row['target']} of {row['currency']}"
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"--structure must be the row.json of a run. Received: --structure={path}") from error


def default_out(settings):
    """A folder for each data set, network, method and seed."""
    name = f"seed{settings['seed']}" + ("-test" if settings["test"] else "")
    return pathlib.Path("runs", pathlib.Path(settings["dataset"]).stem, settings["model"], settings["method"], name)


def check_folder(out, settings):
    """Refuses a folder that cannot be written to, or that holds a run with other settings."""
    path = out / "settings.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        before = json.loads(path.read_text()) if path.exists() else settings
    except OSError as error:
        raise ValueError(f"cannot write to the output folder: {error.strerror}. Received: --out={out}") from error
    told = [f"{name}={before.get(name)} (now {value})" for name, value in settings.items() if before.get(name) != value]
    if told:
        raise ValueError(
            f"the folder holds a run with other settings: {', '.join(told)}. Use them again, or name another folder. "
            f"Received: --out={out}"
        )


def write(path, value):
    """Writes a value as JSON, all of it or nothing."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(value, indent=1))
    os.replace(part, path)


if __name__ == "__main__":
    app.run(main)
