"""Files that are either complete or not there."""

import os
import pathlib
import uuid


def write_atomically(path, content):
    """Writes a file so that a reader, or a failure half-way, never meets a part of it.

    The content goes to a temporary file in the same folder, which then takes the name of `path` in one step. If
    anything fails, the temporary file is removed and a file that was at `path` before is left as it was.

    Args:
        path: Where the file goes. Its folder is made where it is missing.
        content: `str`, written as UTF-8, or `bytes`.

    Returns:
        The path, as a `pathlib.Path`.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
