"""What a run came to, from its journal alone."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.assemble import core_of
from orchestrator.attendance import Answer, Attendance, Verdict, quantiles
from orchestrator.failovers import Failovers
from orchestrator.journal.records import Record
from orchestrator.outcome import Faults, TimeSaved, WorkerFigures
from orchestrator.records import WORKER, Actions, Counts, Joined, Wake
from orchestrator.replay import Comparison
from orchestrator.spec import Spec
from orchestrator.time_saved import Timings, time_saved


@dataclass(slots=True)
class _Worker:
    joined_s: float
    answered: int = 0
    late: int = 0
    failed: int = 0
    round_trips_s: array[float] = field(default_factory=lambda: array("d"))


@dataclass(slots=True)
class Summary:
    """Gathered wake by wake.

    metrics: the newest of each name. measured: when each of them was, by the run's clock, and its step. useful, done:
    quorum works that were counted, and all that were answered. useful_s: seconds of workers, by their own clocks, that
    went into the former. closed: five numbers a closed round: when, how long it took, how many it waited for, were
    present, and had arrived.
    Cost: 6 µs on a busy machine and 8 bytes an answer, 40 bytes a round.
    """

    rounds: int = 0
    elapsed_s: float = 0.0
    useful: int = 0
    done: int = 0
    useful_s: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    measured: dict[str, tuple[float, int]] = field(default_factory=dict)
    timings: Timings = field(default_factory=Timings)
    time_saved: TimeSaved | None = None
    failures: dict[str, int] = field(default_factory=dict)
    failovers: Failovers = field(default_factory=Failovers)
    attendance: Attendance = field(default_factory=Attendance)
    closed: array[float] = field(default_factory=lambda: array("d"))
    _workers: dict[str, _Worker] = field(default_factory=dict)

    @property
    def goodput(self) -> float:
        """Counted over answered, 0 to 1; 1 before the first answer."""
        return self.useful / self.done if self.done else 1.0

    @property
    def useful_time(self) -> float:
        """Of the time since each worker first joined, the share that went into what was counted, 0 to 1."""
        in_all_s = sum(self.elapsed_s - worker.joined_s for worker in self._workers.values())
        return min(1.0, self.useful_s / in_all_s) if in_all_s > 0 else 0.0

    @property
    def workers(self) -> tuple[WorkerFigures, ...]:
        """Who was late most often comes first."""
        out = Counter(self.attendance.overdue())
        figures = [
            WorkerFigures(
                name,
                worker.answered,
                worker.late + out[name],
                worker.failed,
                *quantiles(worker.round_trips_s),
            )
            for name, worker in self._workers.items()
        ]
        return tuple(sorted(figures, key=lambda worker: (-worker.late_share, -worker.late, worker.worker)))

    @property
    def faults(self) -> Faults:
        attendance, failovers = self.attendance, self.failovers
        return Faults(
            self.failures,
            attendance.retried,
            attendance.repeats,
            failovers.left,
            failovers.replaced,
            tuple(failovers.worker_s),
            tuple(failovers.aggregator_s),
            tuple(failovers.engine_s),
        )

    def seen(self, wake: Wake, actions: Actions) -> None:
        self.elapsed_s = wake.now_s
        self.timings.seen(wake, actions)
        for event in wake.events:
            if isinstance(event, Joined) and event.role == WORKER:
                self._workers.setdefault(event.worker, _Worker(wake.now_s))
        answers = self.attendance.answers(wake, actions)
        for answer in answers:
            self._count(answer)
        self.failovers.seen(wake, actions, answers)
        for told in actions.told:
            if told.work.counts is Counts.QUORUM and told.result.failure is None:
                self.useful += 1
                self.useful_s += told.result.computed_s
        for row in actions.rows:
            self.metrics.update(row.metrics)
            self.measured.update(dict.fromkeys(row.metrics, (wake.now_s, row.step)))
        self.rounds += len(actions.closed)
        for closed in actions.closed:
            round_s = closed.closed_s - closed.opened_s
            self.closed.extend((closed.closed_s, round_s, closed.wait_for, closed.present, closed.arrived))

    def _count(self, answer: Answer) -> None:
        if answer.cause is not None:
            self.failures[answer.cause] = self.failures.get(answer.cause, 0) + 1
        if answer.counts is not Counts.QUORUM:
            return
        self.done += 1
        worker = self._workers.setdefault(answer.worker, _Worker(self.elapsed_s))
        worker.answered += 1
        worker.late += answer.verdict is Verdict.LATE
        worker.failed += answer.verdict is Verdict.FAILED
        if answer.verdict is not Verdict.FAILED:
            worker.round_trips_s.append(answer.round_trip_s)


def summarise(spec: Spec, records: Iterable[Record]) -> Summary:
    """Replays a whole journal. Cost: some 50 µs a result, and the run's decisions over again."""
    summary = Summary()

    def recorded() -> Iterator[Record]:
        for record in records:
            if not isinstance(record, Wake):
                summary.failovers.recorded(record)
            yield record

    Comparison(core_of(spec), [summary]).run(recorded())
    summary.time_saved = time_saved(spec, summary.timings) if spec.train is not None else None
    return summary


def final_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Of all figures those that say how good the model is, and the last loss."""
    return {
        name: value for name, value in metrics.items() if name == "loss" or name.startswith(("test_", "validation_"))
    }
