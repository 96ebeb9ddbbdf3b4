"""What a started process does first: calls the function that its launcher was given the name of."""

import importlib
import sys
from collections.abc import Sequence


def call(entry: str, argument: str, path: Sequence[str]) -> None:
    """Runs an entry in the new process. path: the starting process's `sys.path`; what is new in it is added here."""
    sys.path.extend(folder for folder in path if folder not in sys.path)
    module, _, function = entry.partition(":")
    getattr(importlib.import_module(module), function)(argument)
