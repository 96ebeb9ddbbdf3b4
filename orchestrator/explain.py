"""What a run decided, and when its rounds closed: its journal, handed to the same core again. Nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.assemble import core_of
from orchestrator.errors import RunFailed
from orchestrator.recorded_run import read_run
from orchestrator.records import Closed, Decided
from orchestrator.replay import actions_of


def decisions(folder: Path) -> Iterator[Decided | Closed]:
    """In order of time, up to the newest wake or to where the run failed; a living run may be asked too.

    Raises JournalDamaged. Cost: 30 µs a result, and each decision over again.
    """
    run = read_run(folder)
    try:
        for _, actions in actions_of(core_of(run.spec), run.journal.records()):
            yield from actions.decided
            yield from actions.closed
    except RunFailed:
        return
