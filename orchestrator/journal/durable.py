"""Files that are there whole or not at all, whatever the machine dies of."""

import os
from collections.abc import Iterable
from pathlib import Path


def write_durably(path: Path, parts: Iterable[bytes | bytearray | memoryview]) -> None:
    """Writes the parts one after another to a file of this name, replacing an older one.

    The file is written aside, synced, renamed, and its folder synced: a crash at any instant leaves the old file or
    the new one, and at most a `.tmp` beside it, which the next call of the same name overwrites.
    Raises OSError, which names the file.
    Cost: two syncs, 0.3 ms on a fast disk, up to 20 ms on others.
    """
    aside = path.with_name(path.name + ".tmp")
    try:
        with aside.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    aside.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder (what was created, renamed and deleted) survive loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
