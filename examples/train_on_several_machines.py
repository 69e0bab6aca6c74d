"""Grows and prunes a network in several processes, each with its part of every batch.

    python examples/train_on_several_machines.py  # two processes on this machine
    python examples/train_on_several_machines.py --processes=4 --process_id=2 --coordinator=10.0.0.1:1234

The second form is one of four machines; the others get the same command with 0, 1 and 3. The coordinator is the address
of process 0 and any free port there. The data are the digits that come with scikit-learn.
"""

import os
import signal
import socket
import subprocess
import sys
import time

from absl import app, flags

FLAGS = flags.FLAGS

flags.DEFINE_integer("processes", 2, "How many processes train together.", 1)
flags.DEFINE_integer(
    "process_id", None, "Which of them this is, from 0. Default: start all of them on this machine.", 0
)
flags.DEFINE_string("coordinator", None, "Address and port of process 0; needed with --process_id.")
flags.DEFINE_integer("epochs", 20, "Epochs.", 1)
flags.DEFINE_integer("batch_size", 32, "Images a training step, of all processes together.", 1)
flags.DEFINE_integer("limit", None, "Use only so many training images, for a short run.", 2)
flags.DEFINE_integer("seed", 0, "Seed of initial weights, data order and noise.")
flags.DEFINE_string("out", "runs/several_machines", "Folder for compact.keras, which process 0 writes.")


def main(argv):
    try:
        check_flags(argv)
    except ValueError as error:
        sys.exit(f"train_on_several_machines: {error}")
    if FLAGS.process_id is None:
        sys.exit(start_all(argv[0]))
    train()


def check_flags(argv):
    """What can be told from the flags alone."""
    if len(argv) > 1:
        raise ValueError(f"every argument is a flag, --name=value. Received: {argv[1]!r}")
    if FLAGS.batch_size % FLAGS.processes:
        raise ValueError(
            "--batch_size must be a multiple of --processes. "
            f"Received: --batch_size={FLAGS.batch_size}, --processes={FLAGS.processes}"
        )
    if (FLAGS.process_id is None) != (FLAGS.coordinator is None):
        raise ValueError(
            "--process_id and --coordinator go together. "
            f"Received: --process_id={FLAGS.process_id}, --coordinator={FLAGS.coordinator}"
        )
    if FLAGS.process_id is not None and FLAGS.process_id >= FLAGS.processes:
        raise ValueError(
            "--process_id must be below --processes. "
            f"Received: --process_id={FLAGS.process_id}, --processes={FLAGS.processes}"
        )


def start_all(script):
    """Runs every process on this machine; returns the exit code, which is the first one that is not 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, script, *FLAGS.flags_into_string().splitlines(), f"--coordinator={coordinator}"]
    children = [subprocess.Popen([*command, f"--process_id={number}"]) for number in range(FLAGS.processes)]
    # As an exception, so that what is below ends the children: JAX takes no notice of the signal.
    signal.signal(signal.SIGTERM, lambda *args: sys.exit(1))
    try:
        # One that fails leaves the others waiting for it.
        while not any(child.poll() for child in children) and any(child.poll() is None for child in children):
            time.sleep(0.1)
        return next((child.returncode for child in children if child.returncode), 0)
    finally:
        for child in children:
            child.kill()
            child.wait()


def train():
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    # Before anything that makes an array.
    keras.distribution.initialize(FLAGS.coordinator, FLAGS.processes, FLAGS.process_id)
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    keras.utils.set_random_seed(FLAGS.seed)

    import datasets

    import cgap_keras

    data, first = datasets.load("digits", limit=FLAGS.limit), FLAGS.process_id == 0
    model = cgap_keras.zoo.digits_cnn(width=cgap_keras.zoo.SEED_WIDTH)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    cgap = cgap_keras.CGaP(capacity=45_000, target=22_000, seed=FLAGS.seed)
    options = {"batch_size": FLAGS.batch_size // FLAGS.processes, "verbose": 2 if first else 0}
    model.fit(*own_part(data.x_train, data.y_train), epochs=FLAGS.epochs, callbacks=[cgap], **options)
    # All processes take part in this one too.
    _, accuracy = model.evaluate(*own_part(data.x_test, data.y_test), **options)
    # Saving makes variables, which process 0 alone would wait for the others to join.
    keras.distribution.set_distribution(None)
    if first:
        os.makedirs(FLAGS.out, exist_ok=True)
        model.save(os.path.join(FLAGS.out, "compact.keras"))
        print(f"\n{accuracy:.2%} of the test images, {cgap_keras.cost(model).params:,} parameters", flush=True)


def own_part(*arrays):
    """This process's part of some arrays, as many examples as every other's."""
    usable = len(arrays[0]) // FLAGS.processes * FLAGS.processes
    return [array[FLAGS.process_id : usable : FLAGS.processes] for array in arrays]


if __name__ == "__main__":
    app.run(main)
