"""What was told of a run's end, kept in its folder, so that it can be told again after an outage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.journal.durable import write_durably
from orchestrator.tracking.final import Final
from orchestrator.tracking.wire import from_wire, to_wire

FILE = "final.msgpack"


def save_final(folder: Path, final: Final) -> None:
    """Over an earlier one. Raises OSError, and TypeError for what is not of the types that it says."""

    def relative(value: Any) -> Any:
        beside = isinstance(value, Path) and value.is_relative_to(folder.parent)  # a chain's model is its last stage's
        return os.path.relpath(value, folder) if beside else to_wire(value)

    write_durably(folder / FILE, [msgspec.msgpack.encode(final, enc_hook=relative)])


def load_final(folder: Path) -> Final | None:
    """The last one, its files where the folder and those beside it lie now; None: there is none that is whole."""

    def absolute(kind: type, value: Any) -> Any:
        return folder / value if kind is Path else from_wire(kind, value)

    try:
        return msgspec.msgpack.decode((folder / FILE).read_bytes(), type=Final, dec_hook=absolute)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
