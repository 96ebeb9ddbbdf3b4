"""What a run decided, and when its rounds closed: its journal, handed to the same core again. Nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.assemble import core_of
from orchestrator.errors import JournalDamaged, RunFailed
from orchestrator.folder import RunFolder
from orchestrator.journal.reader import JournalReader
from orchestrator.records import Closed, Decided
from orchestrator.replay import actions_of
from orchestrator.spec import TrainSpec


def decisions(folder: Path) -> Iterator[Decided | Closed]:
    """In order of time, up to the newest wake or to where the run failed; a living run may be asked too.

    Raises JournalDamaged. Cost: 30 µs a result, and each decision over again.
    """
    files = RunFolder(folder)
    reader = JournalReader(files.journal, files.run)
    started = reader.started()
    if started is None:
        raise JournalDamaged(str(files.journal), 0, "the run was killed before it began")
    core = core_of(TrainSpec.model_validate(started.spec))
    try:
        for _, actions in actions_of(core, reader.records()):
            yield from actions.decided
            yield from actions.closed
    except RunFailed:
        return
