"""Puts finished files into a directory, all or none."""

import os
import pathlib
import shutil
import tempfile


def check_directory(directory):
    """Makes sure that a directory can be written, or made, without changing anything.

    Args:
        directory: The path of the directory.

    Returns:
        The path as a `pathlib.Path`.

    Raises:
        TypeError: If it is no path.
        ValueError: If it cannot be written or made.
    """
    if not isinstance(directory, str | os.PathLike):
        raise TypeError(f"`directory` must be a path. Received: directory={directory!r}")
    path = pathlib.Path(directory)
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists() or parent.is_symlink())
    try:
        # The only sure test: a file without a name, gone when it is closed. Permission bits say nothing to root or of a
        # full disk.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ValueError(
            f"`directory` must be a directory that can be written, or made. Received: directory={str(directory)!r} "
            f"({error.strerror})"
        ) from error
    return path


def publish(sources, directory):
    """Copies files into a directory so that each appears complete or not at all.

    All are copied under temporary names first, so a full disk is met before any file of an earlier export is replaced.

    Args:
        sources: Dict from the name in the directory to the path of a finished file, in the order in which they are to
            appear.
        directory: The directory; made if it is not there.

    Raises:
        OSError: If a file cannot be written. The files of an earlier export are whole.
    """
    directory.mkdir(parents=True, exist_ok=True)
    copies = {name: directory / f".{name}.{os.getpid()}.tmp" for name in sources}
    try:
        for name, source in sources.items():
            shutil.copyfile(source, copies[name])
        for name, copy in copies.items():
            os.replace(copy, directory / name)
    finally:
        for copy in copies.values():
            copy.unlink(missing_ok=True)
