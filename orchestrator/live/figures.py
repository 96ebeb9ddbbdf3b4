"""What the wakes of a run add up to, for whoever watches it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.attendance import Answer, Attendance, Verdict, quantiles
from orchestrator.goal import Goal
from orchestrator.outcome import FEW_WORKERS
from orchestrator.records import WORKER, Actions, Counts, Decided, Joined, Left, Row, Wake

WINDOW_S = 10.0
"""Rates are means over this long, or over the last round if that is longer."""

SMOOTHING = 0.1
"""Share of the newest value in the running mean of the loss."""

TRIPS_KEPT = 200


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """One worker.

    busy_s: how long it has been at its work; None: idle. gone_s: for how long it has been lost; None: it is there.
    late: results that came after their round. answered: all its results. p50_s, p90_s, p99_s: quantiles of its latest
    TRIPS_KEPT round trips; None: it has had none.
    """

    worker: str
    busy_s: float | None
    gone_s: float | None
    late: int
    answered: int
    p50_s: float | None = None
    p90_s: float | None = None
    p99_s: float | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """The figures of one moment.

    done, total, unit: how far it has come, of what. left_s: None while nobody knows. loss: running mean. evaluations:
    the newest of each.
    arrived: results of the open round. wait_for: None before the first decision. unused: share of the workers' results
    that came too late, or failed. waiting: why the run stands still, or "". lines: one a worker; () if there are many.
    """

    elapsed_s: float
    done: float
    total: float
    unit: str
    left_s: float | None
    rounds: int
    loss: float | None
    evaluations: Mapping[str, float]
    eligible: int
    present: int
    arrived: int
    wait_for: int | None
    why: str
    waiting: str
    samples_per_s: float
    rounds_per_s: float
    unused: float
    failures: Mapping[str, int]
    busy: int
    lines: tuple[WorkerLine, ...]

    @property
    def over(self) -> bool:
        """It has come to its goal and nobody works any more: what it leaves is written and recorded."""
        return self.done >= self.total and not self.busy


class _Mark(NamedTuple):
    """What had been done by then."""

    now_s: float
    done: float
    samples: float
    rounds: int


@dataclass(slots=True)
class _Worker:
    busy: dict[int, float] = field(default_factory=dict)  # work id -> when it was given
    round_trips_s: deque[float] = field(default_factory=lambda: deque(maxlen=TRIPS_KEPT))
    answered: int = 0
    late: int = 0
    gone_s: float | None = None  # since when


@dataclass(slots=True)
class Figures:
    """Adds up wakes; its clock is the pool's. Cost: some microseconds a wake, whatever the number of workers."""

    goal: Goal
    _first_s: float | None = None
    _last_s: float = 0.0
    _marks: deque[_Mark] = field(default_factory=deque)
    _done: _Mark = field(default_factory=lambda: _Mark(0.0, 0.0, 0.0, 0))
    _loss: float | None = None
    _evaluations: dict[str, float] = field(default_factory=dict)
    _decided: Decided | None = None
    _waiting: str = ""
    _counting: int = -1  # the round that `_arrived` belongs to
    _arrived: int = 0
    _answered: int = 0
    _unused: int = 0
    _failures: dict[str, int] = field(default_factory=dict)
    _workers: dict[str, _Worker] = field(default_factory=dict)
    _attendance: Attendance = field(default_factory=Attendance)

    def add(self, wake: Wake, actions: Actions) -> None:
        """One wake, and what the core made of it."""
        self._last_s = wake.now_s
        if self._first_s is None:
            self._first_s = wake.now_s
        for event in wake.events:
            if isinstance(event, Joined) and event.role == WORKER:
                self._workers.setdefault(event.worker, _Worker()).gone_s = None
            elif isinstance(event, Left) and event.worker in self._workers:
                self._workers[event.worker].gone_s = wake.now_s
        for answer in self._attendance.answers(wake, actions):
            self._take(answer)
        for assignment in actions.submit:
            if assignment.worker in self._workers:
                self._workers[assignment.worker].busy[assignment.work.id] = wake.now_s
        for row in actions.rows:
            self._record(row, wake.now_s)
        if actions.decided:
            self._decided = actions.decided[-1]
        self._waiting = actions.waiting

    def frame(self, now_s: float | None = None) -> Frame:
        """The figures now; now_s: on the pool's clock, by default that of the last wake."""
        now_s = self._last_s if now_s is None else now_s
        start = self._marks[0] if self._marks else self._done
        done, span_s = self._done, max(now_s - start.now_s, 1e-9)
        left, done_per_s = max(self.goal.total - done.done, 0.0), (done.done - start.done) / span_s
        decided, workers = self._decided, self._workers
        there = [worker for worker in workers.values() if worker.gone_s is None]
        return Frame(
            elapsed_s=now_s - (self._first_s or 0.0),
            done=min(done.done, self.goal.total),
            total=self.goal.total,
            unit=self.goal.unit,
            left_s=left / done_per_s if done_per_s > 0 else None,
            rounds=done.rounds,
            loss=self._loss,
            evaluations=dict(self._evaluations),
            eligible=decided.eligible if decided else len(there),
            present=decided.present if decided else len(there),
            arrived=self._arrived,
            wait_for=decided.decision.wait_for if decided else None,
            why=decided.decision.why if decided else "",
            waiting=self._waiting,
            samples_per_s=(done.samples - start.samples) / span_s,
            rounds_per_s=(done.rounds - start.rounds) / span_s,
            unused=self._unused / (self._answered or 1),
            failures=dict(self._failures),
            busy=sum(1 for worker in there if worker.busy),
            lines=tuple(_line(name, workers[name], now_s) for name in sorted(workers))
            if len(workers) <= FEW_WORKERS
            else (),
        )

    def _take(self, answer: Answer) -> None:
        if answer.cause is not None:
            self._failures[answer.cause] = self._failures.get(answer.cause, 0) + 1
        worker = self._workers.get(answer.worker, _Worker())
        worker.busy.pop(answer.work_id, None)
        if answer.counts is not Counts.QUORUM:
            return
        self._answered += 1
        worker.answered += 1
        if answer.verdict is Verdict.IN_TIME:
            if answer.round != self._counting:
                self._counting, self._arrived = answer.round, 0
            self._arrived += 1
        else:
            self._unused += 1
            worker.late += answer.verdict is Verdict.LATE
        if answer.verdict is not Verdict.FAILED:
            worker.round_trips_s.append(answer.round_trip_s)

    def _record(self, row: Row, now_s: float) -> None:
        for name, value in row.metrics.items():
            if name.startswith(("test_", "validation_")):
                self._evaluations[name] = value
        if "loss" in row.metrics:
            self._loss = _smoothed(self._loss, row.metrics["loss"])
        if self.goal.metric not in row.metrics:
            return
        samples = self._done.samples + row.metrics.get("samples", 0.0)
        self._done = _Mark(now_s, row.metrics[self.goal.metric], samples, row.step)
        self._marks.append(self._done)
        while len(self._marks) > 2 and self._marks[1].now_s < now_s - WINDOW_S:
            self._marks.popleft()


def _smoothed(mean: float | None, value: float) -> float:
    return value if mean is None else mean + SMOOTHING * (value - mean)


def _line(name: str, worker: _Worker, now_s: float) -> WorkerLine:
    busy_s = now_s - min(worker.busy.values()) if worker.busy else None
    gone_s = None if worker.gone_s is None else now_s - worker.gone_s
    return WorkerLine(name, busy_s, gone_s, worker.late, worker.answered, *quantiles(worker.round_trips_s))
