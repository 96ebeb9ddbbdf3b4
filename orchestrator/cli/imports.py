"""Where tasks are imported from."""

import sys
from pathlib import Path


def import_from(*folders: Path) -> None:
    """Lets tasks be imported from there, the first before the second."""
    sys.path[:0] = [str(folder) for folder in folders if str(folder) not in sys.path]
