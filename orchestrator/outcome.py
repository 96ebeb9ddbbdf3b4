"""What a run, a replay and a plan come to, for those who asked: plain figures, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from orchestrator.records import Cause

FEW_WORKERS = 12
"""Up to so many workers are spoken of one by one."""


@dataclass(frozen=True, slots=True)
class TimeSaved:
    """Seconds by the journal's own timings.

    full_s: for as many rounds, had each waited for all. actual_s: as it was. same_data_s: waiting for all, for as many
    gradients: in fewer rounds, since each uses more.
    """

    full_s: float
    actual_s: float
    same_data_s: float


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """One worker's part in a run.

    answered: its results for quorums, failed ones included. late: how many came after their round had its quorum, and
    those still out then at the run's end. failed: those without a result. p50_s, p90_s, p99_s: quantiles of its round
    trips, from being given work until its answer, late ones included; None: it has had none.
    """

    worker: str
    answered: int
    late: int
    failed: int
    p50_s: float | None = None
    p90_s: float | None = None
    p99_s: float | None = None

    @property
    def late_share(self) -> float:
        """Of the rounds that it was asked in, those that it missed, 0 to 1."""
        return min(1.0, self.late / self.answered) if self.answered else 1.0 if self.late else 0.0


@dataclass(frozen=True, slots=True)
class Faults:
    """What went wrong in a run and what it cost.

    failures: attempts by cause, such as "lost worker" or "non-finite"; late ones are none. retried: attempts that were
    made again. repeats: answers that were dropped, because there had been one, or nobody waited for it any more.
    left, replaced, worker_s, aggregator_s, engine_s: see `Failovers`.
    """

    failures: Mapping[str, int] = field(default_factory=dict)
    retried: int = 0
    repeats: int = 0
    left: int = 0
    replaced: int = 0
    worker_s: tuple[float, ...] = ()
    aggregator_s: tuple[float, ...] = ()
    engine_s: tuple[float, ...] = ()

    @property
    def rejected(self) -> int:
        """Answers that were not used for what was in them."""
        return sum(self.failures.get(cause, 0) for cause in (Cause.NON_FINITE, Cause.BAD_REPLY))

    @property
    def any(self) -> bool:
        return bool(self.failures or self.repeats or self.left or self.engine_s)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    reason: why it failed or stopped, or "". metrics: the last ones, such as test_accuracy, test_loss, loss.
    done, unit: how far it came, such as 5.0 "epochs". elapsed_s: wall time, earlier engines of a resumed run included.
    goodput: useful work over all work, 0 to 1. useful_time: time that workers computed what was used, over the time
    that they were in the run, from their first joining to its end, 0 to 1. workers: the one that was late most often
    first. peak_memory_bytes: of the engine's process, 0: unknown. time_saved: None before a round has closed, where
    late gradients are interrupted, and for verbs other than train. weights_sha256, model_file: of the final weights, or
    "" and None. tracking_uri: without user and password. mlflow_run_id: "" when tracking is off or never answered.
    rows: what else the verb has to say, names and values.
    """

    run: str
    folder: Path
    outcome: Literal["done", "failed", "interrupted"]
    metrics: Mapping[str, float]
    rounds: int
    done: float
    unit: str
    elapsed_s: float
    goodput: float
    time_saved: TimeSaved | None = None
    weights_sha256: str = ""
    model_file: Path | None = None
    tracking_uri: str = ""
    mlflow_run_id: str = ""
    reason: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    useful_time: float = 0.0
    workers: tuple[WorkerFigures, ...] = ()
    faults: Faults = Faults()
    peak_memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """A run done again from its journal.

    decisions: how many were compared. differing: a sentence for each that came out otherwise.
    weights_sha256: of the replayed weights; journalled_sha256: of the run's own, "" if it did not end.
    """

    run: str
    wakes: int
    decisions: int
    differing: tuple[str, ...]
    weights_sha256: str
    journalled_sha256: str

    @property
    def same(self) -> bool:
        """Whether every decision and the final weights came out as they were."""
        return not self.differing and self.journalled_sha256 in ("", self.weights_sha256)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    parameters: of the model. cluster: its address, or "this machine". needs, has: resources by name. rows: what the
    verb has to say, names and values.
    """

    task: str
    rows: Sequence[tuple[str, str]]
    parameters: int
    cluster: str
    needs: Mapping[str, float]
    has: Mapping[str, float]
    state: Path
    tracking_uri: str
