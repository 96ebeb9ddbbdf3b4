"""The simplest pool: this process does the work, one piece after another, in the order it was given."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from time import monotonic

from orchestrator.pools.execute import Execute, WorkFailed
from orchestrator.records import AGGREGATOR, Assignment, Cause, Event, Failure, Joined, Left, Result, Wake

GONE = Failure(Cause.PREEMPTED, "its pool ended with the engine")


class InlinePool:
    """`workers` names that all mean this process, worker-0 …, and one aggregator; the clock is real.

    `wait` computes one piece of work and returns it. It does not outlive its engine.
    """

    def __init__(self, workers: int, execute: Execute) -> None:
        self._execute = execute
        self._started_s = monotonic()
        self._queue: deque[Assignment] = deque()
        self._cancelled: set[int] = set()
        joined = (Joined(f"worker-{number}") for number in range(workers))
        self._events: deque[Event] = deque([Joined(f"{AGGREGATOR}-0", role=AGGREGATOR), *joined])

    def submit(self, assignments: Sequence[Assignment]) -> None:
        self._queue.extend(assignments)

    def cancel(self, work_ids: Sequence[int]) -> None:
        self._cancelled.update(work_ids)

    def wait(self, deadline_s: float | None) -> Wake:
        if self._events:
            events = tuple(self._events)
            self._events.clear()
            return Wake(self._now_s(), events)
        if self._queue:
            result = self._do(self._queue.popleft())
            return Wake(self._now_s(), (result,))
        assert deadline_s is not None, "nothing will ever happen on this pool"
        self._started_s -= max(0.0, deadline_s - self._now_s())  # nobody else could end the wait: go there at once
        return Wake(self._now_s(), ())

    def reconcile(
        self, outstanding: Sequence[Assignment], present: Sequence[str], wakes_seen: int, now_s: float
    ) -> None:
        self._started_s = monotonic() - now_s
        left = [Left(worker, Cause.PREEMPTED) for worker in present]
        lost = [Result(a.work.id, a.attempt, a.worker, {}, {}, 0.0, now_s, GONE) for a in outstanding]
        self._events.extendleft(reversed([*lost, *left]))

    def interrupt(self) -> None:
        """`wait` never blocks."""

    def close(self) -> None:
        """Holds nothing."""

    def _do(self, assignment: Assignment) -> Result:
        work, worker, attempt = assignment
        started_s = self._now_s()
        if work.id in self._cancelled:
            self._cancelled.discard(work.id)
            failure = Failure(Cause.CANCELLED, "cancelled")
            return Result(work.id, attempt, worker, {}, {}, 0.0, started_s, failure)
        try:
            outputs, metrics = self._execute(work)
        except WorkFailed as error:
            ended_s = self._now_s()
            return Result(work.id, attempt, worker, {}, {}, ended_s - started_s, ended_s, error.failure)
        ended_s = self._now_s()
        return Result(work.id, attempt, worker, outputs, metrics, ended_s - started_s, ended_s)

    def _now_s(self) -> float:
        return monotonic() - self._started_s
