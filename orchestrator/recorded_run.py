"""A run as its journal has it, to be read: whether it lives, has ended or was killed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import JournalDamaged
from orchestrator.folder import RunFolder
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.records import Started
from orchestrator.spec import Spec


class RecordedRun(NamedTuple):
    """started: the journal's first record. spec: the one in it."""

    files: RunFolder
    journal: JournalReader
    started: Started
    spec: Spec


def read_run(folder: Path) -> RecordedRun:
    """Opens the journal in a run's folder for reading; no lock is taken.

    Raises:
        JournalDamaged: its beginning cannot be read, or it has none.
    """
    files = RunFolder(folder.resolve())
    journal = JournalReader(files.journal, files.run)
    started = journal.started() if files.journal.is_dir() else None
    if started is None:
        raise JournalDamaged(str(files.journal), 0, "the run was killed before it began")
    return RecordedRun(files, journal, started, Spec.model_validate(started.spec))
