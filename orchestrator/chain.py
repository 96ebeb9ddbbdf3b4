"""Verbs one after another: each stage is a run of its own, and starts from what the one before it left."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

from orchestrator.errors import JournalDamaged
from orchestrator.folder import RunFolder
from orchestrator.journal.file import FileJournal
from orchestrator.journal.records import Ended, Started
from orchestrator.lifecycle import (
    TRACKER_TIMEOUT_S,
    begin_folder,
    destination_of,
    end_journal,
    ended_as,
    model_files_of,
    started_of,
)
from orchestrator.local import arguments_of
from orchestrator.outcome import Outcome
from orchestrator.outcome_file import save_outcome
from orchestrator.spec import Spec, load
from orchestrator.spec.stages import continued
from orchestrator.tracking import Final, Tracker
from orchestrator.uris import printable
from orchestrator.words import metric


class DoStage(Protocol):
    """Does the run of this name, or goes on with it if it has begun, and says how it ended. parent: the chain's run."""

    def __call__(self, spec: Spec, run: str, parent: str) -> Outcome: ...


def run_chain(spec: Spec, *, do: DoStage, name: str | None = None) -> Outcome:
    """Begins a chain and carries it as far as it goes; its own run has the whole spec, and the last stage's model.

    name: the chain's run id; None: a new one. Its stages are called `<name>.1-search`, `<name>.2-merge`, …
    Raises:
        RunExists: there is a run of that name. OSError: the state folder cannot be written.
    """
    files = begin_folder(spec, name)
    with closing(FileJournal(files.journal, files.run)) as journal:
        started = started_of(spec, files.run)
        journal.append(started)
        journal.sync()
        return _carry_on(spec, files, started, journal, do)


def resume_chain(folder: Path, *, do: DoStage) -> Outcome:
    """Goes on with the stage that did not end; of a chain that has ended, says how.

    Raises:
        JournalHeld: another engine is at it.
    """
    files = RunFolder(folder.resolve())
    with closing(FileJournal(files.journal, files.run)) as journal:
        started = next(journal.records(), None)
        if not isinstance(started, Started):
            raise JournalDamaged(str(files.journal), 0, "the chain was killed before it began: start it anew")
        *_, last = journal.records()
        if (outcome := ended_as(last, files)) is not None:
            return outcome
        return _carry_on(Spec.model_validate(started.spec), files, started, journal, do)


def runs_of(folder: Path) -> Sequence[Path]:
    """The folders of a chain's stages that have begun; of any other run its own."""
    files = RunFolder(folder.resolve())
    spec = load(files.spec)
    names = stage_names(spec, files.run) if spec.then else [files.run]
    return [files.state / name for name in names if (files.state / name).exists()]


def stage_names(spec: Spec, chain: str) -> Sequence[str]:
    """The run ids of a chain's stages, in order."""
    verbs = [spec.verb, *(stage.verb for stage in spec.then)]
    return [f"{chain}.{number}-{verb}" for number, verb in enumerate(verbs, start=1)]


def _carry_on(spec: Spec, files: RunFolder, started: Started, journal: FileJournal, do: DoStage) -> Outcome:
    with ExitStack() as stack:
        tracker = None
        if spec.tracking.enabled:
            tracker = Tracker.start(started, files.path, destination_of(spec, files, started))
        outcomes: list[Outcome] = []
        for number, run in enumerate(stage_names(spec, files.run)):
            outcomes.append(do(_stage(spec, number, outcomes), run, files.run))
            if outcomes[-1].outcome != "done":
                break
        stack.callback(journal.sync)
        last = outcomes[-1]
        if last.outcome != "interrupted":
            end_journal(journal, Ended(last.outcome, last.reason, last.weights_sha256, ""))
        report = None
        if tracker is not None:
            model = model_files_of(spec, RunFolder(last.folder)) if last.model_file is not None else None
            tags = {"ripieno.stages": ", ".join(outcome.run for outcome in outcomes)}
            report = tracker.finish(Final(last.outcome, last.metrics, model, tags=tags), TRACKER_TIMEOUT_S)
        outcome = Outcome(
            run=files.run,
            folder=files.path,
            outcome=last.outcome,
            reason=last.reason,
            metrics=last.metrics,
            rounds=sum(outcome.rounds for outcome in outcomes),
            done=float(sum(outcome.outcome == "done" for outcome in outcomes)),
            unit=f"of {1 + len(spec.then)} stages",
            elapsed_s=sum(outcome.elapsed_s for outcome in outcomes),
            goodput=last.goodput,
            weights_sha256=last.weights_sha256,
            model_file=last.model_file,
            tracking_uri=printable(spec.tracking_uri(files.state)) if report else "",
            mlflow_run_id=(report.mlflow_run_id or "") if report else "",
            rows=tuple((f"stage {number}", _in_short(stage)) for number, stage in enumerate(outcomes, start=1)),
        )
        save_outcome(outcome)
        return outcome


def _stage(spec: Spec, number: int, before: Sequence[Outcome]) -> Spec:
    """The spec of stage `number`, from 0, complete: with what it starts from, and the arguments of that model."""
    if not number:
        return spec.model_copy(update={"then": []})
    assert before[-1].model_file is not None
    return continued(spec, number, before[-1].run, arguments_of(before[-1].model_file))


def _in_short(stage: Outcome) -> str:
    figures = ", ".join(metric(name, value) for name, value in stage.metrics.items() if name.startswith("test_"))
    return f"{stage.run}: {stage.outcome}" + (f", {figures}" if figures else "")
