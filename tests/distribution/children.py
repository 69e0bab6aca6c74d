"""Programs that run beside the tests, none of which outlives them."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
# Half a minute is what they take on two cores that others use as well.
LIMIT_SECONDS = 300
# Most of that is JAX's compiling, of functions that are called twice or three times.
QUICK_COMPILING = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"}


@contextlib.contextmanager
def running(module, arguments, folder):
    """Starts a module of the tests once for each list of arguments; ends what still runs on leaving.

    Args:
        module: A name such as `"tests.distribution.mirrored_child"`.
        arguments: Lists of arguments.
        folder: A folder for what they print.

    Yields:
        A function that waits for all of them. It raises a `RuntimeError` as soon as one fails or is too late.
    """
    logs = [folder / f"{module}_{i}.log" for i in range(len(arguments))]
    processes = []
    try:
        for log, own in zip(logs, arguments, strict=True):
            with log.open("w") as file:
                command = [sys.executable, "-m", module, *map(str, own)]
                environment = {**os.environ, **QUICK_COMPILING}
                processes.append(subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, env=environment))
        yield lambda: _wait(processes, logs)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait(processes, logs):
    deadline, codes = time.monotonic() + LIMIT_SECONDS, [None]
    while None in codes:
        time.sleep(0.05)
        codes = [process.poll() for process in processes]
        if any(codes) or time.monotonic() > deadline:
            printed = "\n".join(log.read_text()[-4000:] for log in logs)
            raise RuntimeError(f"Children ended with {codes}, where None means that one still ran.\n{printed}")
