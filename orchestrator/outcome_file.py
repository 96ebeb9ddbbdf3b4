"""The outcome of a run as a file in its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.folder import RunFolder
from orchestrator.journal.durable import write_durably
from orchestrator.outcome import Outcome


def save_outcome(outcome: Outcome) -> None:
    """Writes it as JSON into the run's folder, over an earlier one."""
    data = msgspec.json.format(msgspec.json.encode(outcome, enc_hook=str), indent=2)
    write_durably(RunFolder(outcome.folder).outcome, [data, b"\n"])


def load_outcome(folder: Path) -> Outcome | None:
    """The outcome of the run in this folder, wherever the folder lies now; None: it has none, or none that is whole."""
    try:
        data = RunFolder(folder).outcome.read_bytes()
        outcome = msgspec.json.decode(data, type=Outcome, dec_hook=_path)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return replace(outcome, folder=folder)


def _path(kind: type, text: Any) -> Any:
    return kind(text)
