"""A training that is killed, wherever it is, and started again ends as the one that was left alone."""

import multiprocessing
import os
import random
import signal

import keras
import pytest

from tests.callbacks.killed_training import train_until

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="bit for bit holds on TensorFlow's CPU backend"
)

# Far more than a training takes.
SECONDS = 120


@pytest.fixture(scope="module")
def run():
    """Runs a training in a process of its own, forked from one that has TensorFlow loaded but not started."""
    context, before = multiprocessing.get_context("forkserver"), dict(os.environ)
    context.set_forkserver_preload(["tests.callbacks.killed_training"])
    os.environ.update(TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="")

    def run(directory, *kill):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=train_until, args=(sender, directory, *kill))
        process.start()
        sender.close()
        # Also when the process has died, and the pipe has no more to say.
        if not receiver.poll(SECONDS):
            process.kill()
            pytest.fail(f"the training has not ended after {SECONDS} seconds")
        try:
            result = receiver.recv()
        except EOFError:
            result = None
        process.join()
        return process.exitcode, result

    yield run
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def left_alone(run):
    code, result = run(None)
    assert code == 0
    kinds = [edit["kind"] for edit in result["edits"]]
    assert kinds.count("grow") > 1 and kinds.count("prune") == 2
    return result


def kills(seed):
    """Points in the middle of edits and writes, steps at random among them, and the cleaning up at the end."""
    draw = random.Random(seed)
    chosen = [("write", 9), ("edit", 5), ("sync", 3), ("replace", 3), ("write", 60), ("edit", 14)]
    steps = [("step", draw.randint(2, 6)) for _ in range(3)]
    return [kill for pair in zip(chosen[::2], steps, chosen[1::2], strict=True) for kill in pair] + [("remove", 3)]


def test_killed_and_started_again(run, left_alone, tmp_path):
    directory = str(tmp_path / "backup")
    for point, count in kills(0):
        code, _ = run(directory, point, count)
        assert code == -signal.SIGKILL, f"the training ended before {point} {count}"
        assert set(os.listdir(directory)) <= {"training.backup", "training.backup.part"}
    code, result = run(directory)
    assert code == 0 and result == left_alone and os.listdir(tmp_path) == []
