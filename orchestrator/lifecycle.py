"""A run from its beginning to its outcome, or on from where its journal ends: one engine, on real workers."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Literal, Protocol

import msgspec
import structlog
import torch

from cluster.shared_memory import SharedFolder, reap
from orchestrator.assemble import core_of
from orchestrator.checkpoints import CheckpointFiles
from orchestrator.core import Core
from orchestrator.driver import Engine, drive
from orchestrator.errors import JournalDamaged, RunExists, RunFailed, RunStored, ValueMissing
from orchestrator.folder import SHARED_PREFIX, RunFolder, shared_memory_of
from orchestrator.journal.durable import write_durably
from orchestrator.journal.file import FileJournal
from orchestrator.journal.records import Ended, Record, Resumed, Started
from orchestrator.journal.snapshots import Snapshots
from orchestrator.keeper import Keeper
from orchestrator.local import Local, arguments_of
from orchestrator.outcome import Outcome
from orchestrator.outcome_file import load_outcome, save_outcome
from orchestrator.protocols import Observer, Pool
from orchestrator.records import GIVEN, Json, Ref, Row, Wake
from orchestrator.replay import actions_of, restore
from orchestrator.results.timing import write_timing
from orchestrator.run_figures import run_figures
from orchestrator.sources import tensors_of
from orchestrator.spec import Spec
from orchestrator.storage import Storage
from orchestrator.summary import Summary, final_metrics, summarise
from orchestrator.tracking import Destination, Final, ModelFiles, Tracker, TrackingReport, commit_of
from orchestrator.uris import below, printable
from orchestrator.values.persisted import Persisted
from orchestrator.values.shared import SharedValues
from orchestrator.verbs import Finished, Results, verb_of
from trainers import fingerprint, machine, make_deterministic

SNAPSHOT_EVERY_S = 30.0
TRACKER_TIMEOUT_S = 60.0  # for the model and the last figures, once all else is done

_log = structlog.get_logger()


class Stop(Protocol):
    """Says whether the run was asked to stop; calls what `notify` was given, once, when it is."""

    def __call__(self) -> bool: ...
    def notify(self, callback: Callable[[], None]) -> None: ...


class Never:
    """Nobody asks this run to stop."""

    def __call__(self) -> bool:
        return False

    def notify(self, callback: Callable[[], None]) -> None:
        """Will not be called."""


class OpenPool(Protocol):
    """Starts the workers of a run. values: the shared folder through which they and the engine hand tensors over."""

    def __call__(self, started: Started, spec: Spec, values: SharedFolder) -> Pool: ...


def start(
    spec: Spec,
    *,
    open_pool: OpenPool,
    observers: Sequence[Observer] = (),
    name: str | None = None,
    stop: Stop | None = None,
    parent: str = "",
) -> Outcome:
    """Begins a run and carries it as far as it goes.

    name: the run's id; None: a new one. parent: see `Started`.
    Raises:
        RunExists: there is a run of that name. RunStored: there is one in the storage. OSError: the state folder
        cannot be written, or the storage not read.
        BadInput: what the spec names is not there, or not what it should be.
    """
    make_deterministic(spec.threads)
    spec = verb_of(spec).resolved(spec)
    files = begin_folder(spec, name)
    with ExitStack() as stack:
        journal = stack.enter_context(closing(FileJournal(files.journal, files.run)))
        started = started_of(spec, files.run, parent)
        run = Run.opened(files, spec, started, journal, stack)
        run.take_given()
        journal.append(started)
        journal.sync()
        return run.go(core_of(spec), observers, stop or Never(), open_pool)


def begin_folder(spec: Spec, name: str | None) -> RunFolder:
    """Makes a new run's folder, with its spec in it. Raises RunExists, RunStored."""
    files = RunFolder(Path(spec.state).resolve() / (name or f"r-{secrets.token_hex(3)}"))
    if spec.storage and any(Storage(below(spec.storage, files.run, part)).names() for part in ("journal", "values")):
        raise RunStored(files.run, printable(spec.storage))
    files.state.mkdir(parents=True, exist_ok=True)
    try:
        files.path.mkdir()
    except FileExistsError:
        raise RunExists(files.run, str(files.path)) from None
    write_durably(files.spec, [spec.model_dump_json(indent=2).encode(), b"\n"])
    return files


def started_of(spec: Spec, run: str, parent: str = "") -> Started:
    """The first record of a new run's journal."""
    return Started(
        run,
        spec.model_dump(mode="json"),
        spec.sha256,
        commit_of(Path.cwd()),
        _machine(),
        spec.seed,
        _now(),
        tuple(path for path in sys.path if path and Path(path).is_dir()),
        parent,
    )


def resume(
    folder: Path, *, open_pool: OpenPool, observers: Sequence[Observer] = (), stop: Stop | None = None
) -> Outcome:
    """Goes on where the journal in a run's folder ends; of a run that has ended, says how.

    Raises:
        JournalHeld: another engine is at it. JournalDamaged: neither a good snapshot nor a whole journal is left.
    """
    files = RunFolder(folder.resolve())
    with ExitStack() as stack:
        journal = stack.enter_context(closing(FileJournal(files.journal, files.run)))
        started = next(journal.records(), None)
        if not isinstance(started, Started):
            raise JournalDamaged(str(files.journal), 0, "the run was killed before it began: start it anew")
        (last,) = journal.records(since=journal.position - 1)
        if (outcome := ended_as(last, files)) is not None:
            return outcome
        spec = Spec.model_validate(started.spec)
        make_deterministic(spec.threads)
        run = Run.opened(files, spec, started, journal, stack)
        return run.go(None, observers, stop or Never(), open_pool)


@dataclass(slots=True)
class Run:
    """One engine's hold on a run, with its journal open and locked; `stack` closes whatever was opened."""

    files: RunFolder
    spec: Spec
    started: Started
    journal: FileJournal
    stack: ExitStack
    shared: SharedFolder
    values: SharedValues
    snapshots: Snapshots

    @classmethod
    def opened(cls, files: RunFolder, spec: Spec, started: Started, journal: FileJournal, stack: ExitStack) -> Run:
        memory = shared_memory_of(files.path)
        reap(memory.parent, SHARED_PREFIX)
        stack.callback(reap, memory.parent, f"{memory.name}-")  # of its workers, those that had to be killed
        shared = stack.enter_context(closing(SharedFolder(memory, create=True)))
        where = below(spec.storage, files.run, "values") if spec.storage else str(files.values)
        values = SharedValues(shared, Persisted(Storage(where)), Persisted(Storage(kept_of(spec, files))))
        files.snapshots.mkdir(exist_ok=True)
        return cls(files, spec, started, journal, stack, shared, values, Snapshots(files.snapshots))

    def take_given(self) -> None:
        """Copies what the run starts from, so that it is there for a resume and a replay, whatever becomes of it."""
        for name, file in verb_of(self.spec).given(self.spec).items():
            ref = Ref(GIVEN + name)
            self.values.put(ref, tensors_of(file))
            self.values.keep([ref])

    def go(self, core: Core | None, observers: Sequence[Observer], stop: Stop, open_pool: OpenPool) -> Outcome:
        """To the end of the run, or where it fails or is stopped. core: a new one; None: the journal's is restored."""
        outcome: Literal["done", "failed", "interrupted"] = "interrupted"
        reason = weights_sha256 = ""
        model: ModelFiles | None = None
        results = Results()
        tracker = self._tracker()
        seen_here = Summary()
        watching = [*observers, seen_here, *([tracker] if tracker else [])]
        try:
            resumed = core is None
            core = core or self._restored([tracker] if tracker else [])
            watching.append(self._checkpoints(core))
            if core.finished or self._driven(core, resumed, watching, stop, open_pool):
                outcome = "done"
                model, weights_sha256 = self._saved_model(core)
                results = self._written_results(core)
                end_journal(self.journal, Ended("done", "", weights_sha256, core.decisions))
        except RunFailed as failed:
            outcome, reason = "failed", str(failed)
            end_journal(self.journal, Ended("failed", failed.reason, "", core.decisions if core else ""))
        summary = summarise(self.spec, self.journal.records()) if self.spec.keep_journal == "all" else seen_here
        peak_memory_bytes = getrusage(RUSAGE_SELF).ru_maxrss * 1024
        if self.spec.train is not None and summary.rounds and outcome != "interrupted":
            write_timing(summary, self.files.results)
        final = Final(
            outcome,
            final_metrics(summary.metrics),
            model,
            self.files.results if self.files.results.exists() else None,
            results.children,
            results.registered,
            results.tags,
            figures=run_figures(summary, peak_memory_bytes),
            measured=summary.measured,
        )
        report = tracker.finish(final, TRACKER_TIMEOUT_S) if tracker else None
        if report is not None and not report.complete:
            _log.warning("tracking_incomplete", message=report.message)
        result = self._outcome(outcome, reason, weights_sha256, summary, peak_memory_bytes, results, report)
        save_outcome(result)
        return result

    def _driven(self, core: Core, resumed: bool, watching: Sequence[Observer], stop: Stop, open_pool: OpenPool) -> bool:
        """Whether the core came to its end; if not, it was asked to stop, and a snapshot is there."""
        pool = self.stack.enter_context(closing(open_pool(self.started, self.spec, self.shared)))
        if resumed:
            self.journal.append(Resumed(self.journal.fence, _machine(), _now()))
            pool.reconcile(core.outstanding, core.present, core.wakes, core.now_s)
            pool.cancel(core.interrupted)
        stop.notify(pool.interrupt)
        with Keeper(self.spec, self.files, self.journal, self.snapshots) as keeper:
            due = Every(SNAPSHOT_EVERY_S)
            engine = Engine(core, pool, self.journal, self.values, self.snapshots, due, watching, keeper.snapshot_taken)
            done = drive(engine, stop)
            engine.snapshot()
        return done

    def _restored(self, tracking: Sequence[Observer]) -> Core:
        """The core as the journal left it, with every value it may still use, from the newest point that has them.

        The tracker is shown the wakes since then again: it may not have had time to hand over the last of them.
        Raises RunFailed; ValueMissing: what the run was given is not there any more.
        """
        reason: ValueMissing | None = None
        here = _machine()
        if here != self.started.fingerprint:
            _log.warning("other_machine", before=self.started.fingerprint, now=here, so="bits may differ in rounding")
        for point in self.snapshots.points(self.journal):
            core = core_of(self.spec)
            try:
                lineage = restore(core, self.journal.records(point.since), point.state, tracking)
                lost = sum(ref not in self.values for ref in core.held())
                if lost:
                    _log.info("values_are_made_again", values=lost, because="the engine that had them is gone")
                lineage.rebuild(core.held(), self.values, self._local().execute(self.values))
            except RunFailed as failed:  # it was killed before it could say so
                end_journal(self.journal, Ended("failed", failed.reason, "", core.decisions))
                raise
            except ValueMissing as missing:
                reason = missing
                _log.warning("snapshot_passed_over", wakes=point.wakes, reason=str(missing))
            else:
                return core
        assert reason is not None, "the beginning of the journal is the last of the points"
        raise reason

    def _saved_model(self, core: Core) -> tuple[ModelFiles, str]:
        model = core.strategy.model
        assert model is not None, "a strategy that is finished has a model"
        weights, local = self.values.get(model.weights), self._local()
        local.save_model(weights, model.arguments, self.files.model)
        local.save_example(self.files.example)
        return model_files_of(self.spec, self.files), fingerprint(weights)

    def _written_results(self, core: Core) -> Results:
        def history() -> Iterator[Row]:
            for _, actions in actions_of(core_of(self.spec), self.journal.records()):
                yield from actions.rows

        finished = Finished(self.files, self.spec, core.strategy, self.values, self._local(), history)
        return verb_of(self.spec).results(finished)

    def _checkpoints(self, core: Core) -> CheckpointFiles:
        where = (
            below(self.spec.storage, self.files.run, "checkpoints")
            if self.spec.storage
            else str(self.files.checkpoints)
        )
        wanted = verb_of(self.spec).checkpoints
        return CheckpointFiles(Storage(where), lambda: wanted(core.strategy), self.values, self._local)

    def _local(self) -> Local:
        return Local(self.spec, self.started.paths)

    def _tracker(self) -> Tracker | None:
        if not self.spec.tracking.enabled:
            return None
        return Tracker.start(self.started, self.files.path, destination_of(self.spec, self.files, self.started))

    def _outcome(
        self,
        outcome: Literal["done", "failed", "interrupted"],
        reason: str,
        weights_sha256: str,
        summary: Summary,
        peak_memory_bytes: int,
        results: Results,
        report: TrackingReport | None,
    ) -> Outcome:
        goal = verb_of(self.spec).goal(self.spec)
        return Outcome(
            run=self.files.run,
            folder=self.files.path,
            outcome=outcome,
            reason=reason,
            metrics=final_metrics(summary.metrics),
            rounds=summary.rounds,
            done=summary.metrics.get(goal.metric, 0.0),
            unit=goal.unit,
            elapsed_s=summary.elapsed_s,
            goodput=summary.goodput,
            useful_time=summary.useful_time,
            workers=summary.workers,
            faults=summary.faults,
            peak_memory_bytes=peak_memory_bytes,
            time_saved=summary.time_saved,
            weights_sha256=weights_sha256,
            model_file=self.files.model if outcome == "done" else None,
            tracking_uri=printable(self.spec.tracking_uri(self.files.state)) if report else "",
            mlflow_run_id=(report.mlflow_run_id or "") if report else "",
            rows=tuple(results.rows),
        )


@dataclass(slots=True)
class Every:
    """Due once each so many seconds of the run's clock."""

    seconds: float
    last_s: float = 0.0

    def __call__(self, wake: Wake) -> bool:
        if wake.now_s - self.last_s < self.seconds:
            return False
        self.last_s = wake.now_s
        return True


def ended_as(last: Record, files: RunFolder) -> Outcome | None:
    """How a run ended whose journal ends so; None: it did not, or was killed before it said more than that.

    What its file says may be an earlier engine's.
    """
    outcome = load_outcome(files.path)
    same = isinstance(last, Ended) and outcome is not None and outcome.outcome == last.outcome
    return outcome if same else None


def end_journal(journal: FileJournal, ended: Ended) -> None:
    """Notes the end of a run, unless an engine before this one did."""
    (last,) = journal.records(since=journal.position - 1)
    if not isinstance(last, Ended):
        journal.append(ended)
        journal.sync()


def destination_of(spec: Spec, files: RunFolder, started: Started) -> Destination:
    """Where a run is tracked; a stage of a chain is nested in that."""
    parent = files.state / started.parent if started.parent else None
    return Destination(spec.tracking_uri(files.state), spec.tracking.experiment, parent)


def model_files_of(spec: Spec, files: RunFolder) -> ModelFiles:
    """What the tracker logs a model from."""
    return ModelFiles(files.model, spec.task, arguments_of(files.model), files.example)


def kept_of(spec: Spec, files: RunFolder) -> str:
    """Where the values lie that could not be made again."""
    return below(spec.storage, files.run, "kept") if spec.storage else str(files.kept)


def _machine() -> Json:
    """What the bits of this process's results depend on."""
    here: Json = msgspec.to_builtins(machine(torch.device("cpu")))
    return here


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
