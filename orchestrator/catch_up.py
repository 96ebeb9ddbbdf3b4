"""What MLflow missed of a run, sent later: the journal has it all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from orchestrator.assemble import core_of
from orchestrator.errors import BadInput
from orchestrator.journal.records import Record
from orchestrator.lifecycle import destination_of
from orchestrator.recorded_run import read_run
from orchestrator.replay import Comparison
from orchestrator.spec import Spec
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

    Where this code decides otherwise than the run's did, the figures of its rounds would be false, and are not sent.
    Raises:
        NotTracked. JournalDamaged: its start was forgotten, or it is damaged.
    Cost: the run's decisions over again, twice, and what MLflow takes for its figures.
    """
    files, journal, started, spec = read_run(folder)
    if not spec.tracking.enabled:
        raise NotTracked(files.run)
    faithful = _faithful(spec, journal.records())
    tracker = Tracker.catch_up(started, files.path, destination_of(spec, files, started), WRITER_PATIENCE_S)
    if faithful:
        Comparison(core_of(spec), [tracker]).run(journal.records())
    report = tracker.finish(load_final(files.path) or Final("interrupted"), TIMEOUT_S)
    if faithful:
        return report
    left_out = (
        f"The figures of the rounds of run {files.run} were not sent: this code decides otherwise than the run's did "
        f"({started.code}). Send them with that."
    )
    return replace(report, complete=False, message=left_out if report.complete else f"{report.message} {left_out}")


def _faithful(spec: Spec, records: Iterable[Record]) -> bool:
    """Whether this code makes the run's decisions again."""
    compared = Comparison(core_of(spec))
    compared.run(records)
    return not compared.differing
