"""A file with the state of a training: written whole or not at all, refused if it is torn or foreign."""

import contextlib
import json
import os
import zipfile

from cgap_keras.callbacks.backup.plain import array_from, bytes_of, decode, describe_array, encode

FORMAT = "cgap_keras.BackupAndRestore, format 1"


class BackupFile:
    """The one file that a directory of backups holds.

    A backup is written beside the last one and takes its place when all of it lies on the disk, so that there is always
    a whole one. It is a zip archive: `state.json`, and each array under its number. The archive's checksums tell a torn
    file.

    Args:
        directory: The directory, which is made when it is needed.
    """

    def __init__(self, directory):
        self._directory = directory
        self.path = os.path.join(directory, "training.backup")
        self._part = f"{self.path}.part"

    def write(self, state):
        """Puts a backup in the place of the last one.

        Args:
            state: A plain value.
        """
        arrays = []

        def keep(array):
            arrays.append(array)
            return len(arrays) - 1

        text = json.dumps({"format": FORMAT, "state": encode(state, keep), "arrays": [*map(describe_array, arrays)]})
        os.makedirs(self._directory, exist_ok=True)
        with open(self._part, "wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("state.json", text)
                for number, array in enumerate(arrays):
                    archive.writestr(str(number), bytes_of(array))
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._part, self.path)
        self._sync_directory()

    def read(self):
        """The state that was written last, or `None` if there is none.

        Raises:
            ValueError: If the file is not a whole backup.
        """
        if not os.path.exists(self.path):
            return None
        try:
            with zipfile.ZipFile(self.path) as archive:
                header = json.loads(archive.read("state.json"))
                if header["format"] == FORMAT:
                    arrays = [
                        array_from(archive.read(str(number)), *array) for number, array in enumerate(header["arrays"])
                    ]
                    return decode(header["state"], arrays.__getitem__)
        # What reading a torn archive raises depends on where it is torn.
        except Exception as error:
            raise ValueError(
                "The backup is torn, or is not one. Remove the file to begin the training anew. "
                f"Received: path={self.path!r} ({type(error).__name__}: {error})"
            ) from error
        raise ValueError(
            f"The backup was written by another version of the library; this one reads {FORMAT!r}. Remove the file to "
            f"begin the training anew. Received: path={self.path!r} with format={header['format']!r}"
        )

    def remove(self):
        """Removes the backup, and the directory if nothing else is in it."""
        self.remove_parts()
        self._remove(self.path)
        # Not empty, or somebody else has removed it.
        with contextlib.suppress(OSError):
            os.rmdir(self._directory)

    def remove_parts(self):
        """Removes what a writer that was killed has left."""
        self._remove(self._part)

    def _sync_directory(self):
        # Elsewhere a directory cannot be opened, and the new name reaches the disk in its own time.
        if os.name == "posix":
            directory = os.open(self._directory, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def _remove(self, path):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
