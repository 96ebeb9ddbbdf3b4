"""What MLflow missed of a run, sent later: the journal has it all."""

from __future__ import annotations

from pathlib import Path

from orchestrator.assemble import core_of
from orchestrator.errors import BadInput, RunFailed
from orchestrator.lifecycle import destination_of
from orchestrator.recorded_run import read_run
from orchestrator.replay import actions_of
from orchestrator.tracking import Final, Tracker, TrackingReport, load_final

WRITER_PATIENCE_S = 120.0  # for one hand-over to a busy writer
TIMEOUT_S = 600.0  # for the rest, once all was handed over


class NotTracked(BadInput):
    """The run was started with tracking off."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run

    def __str__(self) -> str:
        return f"run {self.run} is not tracked (tracking.enabled is false in its spec)"


def catch_up(folder: Path) -> TrackingReport:
    """Replays the run and sends MLflow what it has not got, and all that it left if it has ended.

    Raises:
        NotTracked. JournalDamaged: its start was forgotten, or it is damaged.
    Cost: the run's decisions over again, and what MLflow takes for its figures.
    """
    files, journal, started, spec = read_run(folder)
    if not spec.tracking.enabled:
        raise NotTracked(files.run)
    tracker = Tracker.catch_up(started, files.path, destination_of(spec, files, started), WRITER_PATIENCE_S)
    try:
        for wake, actions in actions_of(core_of(spec), journal.records()):
            tracker.seen(wake, actions)
    except RunFailed:
        pass  # as it did then: that is all there is to send
    return tracker.finish(load_final(files.path) or Final("interrupted"), TIMEOUT_S)
