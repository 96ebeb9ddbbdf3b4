"""Our records as MessagePack: a path is its text, a mapping a map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def to_wire(value: Any) -> Any:
    """For `enc_hook`. Raises NotImplementedError: nothing of ours."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(type(value))


def from_wire(kind: type, value: Any) -> Any:
    """For `dec_hook`. Raises NotImplementedError: nothing of ours."""
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
