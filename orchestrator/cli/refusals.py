"""What the operating system refused a run, as a sentence that says what to do."""

import errno
from pathlib import Path
from shutil import disk_usage


def refusal(error: OSError) -> str:
    """Of any error of the system's; where a disk is full, with the room that there is."""
    what = error.strerror or str(error)
    if error.filename is None:
        return f"the system refused: {what}."
    file = Path(str(error.filename))
    match error.errno:
        case errno.ENOSPC:
            folder = next(parent for parent in file.absolute().parents if parent.is_dir())
            usage = disk_usage(folder)
            free = f"{usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB"
            return f"no room for {file}: its disk has {free} left. Make room there (old runs are folders beside it)."
        case errno.EDQUOT:
            return f"no room for {file}: your quota of its disk is used up. Make room, or have it raised."
        case errno.EFBIG:
            return f"no room for {file}: this process may write no larger file. Raise the limit (ulimit -f)."
    return f"the system refused: {what} ({file})."
