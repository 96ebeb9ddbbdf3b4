"""A pool on a virtual clock: thousands of workers, seeded latencies and faults, the same run from the same seed."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from orchestrator.pools.execute import Execute, WorkFailed
from orchestrator.pools.latency import Latency, chance
from orchestrator.records import AGGREGATOR, Assignment, Cause, Counts, Event, Failure, Joined, Left, Result, Wake

Key: TypeAlias = tuple[int, int]  # work id, attempt

REMEMBERED = 16  # wakes kept for an engine that comes back; it can have missed only the last


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong, drawn from the seed for each attempt; probabilities in [0, 1].

    crash: its worker dies while at it, and is back after back_s. aggregator_crash: the same, of aggregators.
    hang: its worker never answers. lost, duplicate: of replies.
    lost_after_s: when an answer that never came is reported as TIMEOUT; a worker that hangs is then started anew.
    slow: the attempt takes slow_factor times longer. non_finite: the answer to work that a quorum counts has a NaN or
        an infinity in it; non_finite_workers: only theirs; empty: anybody's.
    joins: (at_s, worker name) of newcomers. leaves: (at_s, worker name) of workers that go for good; one that joins at
        the same time is back at once. A worker's name ends in "-" and its number, which `Latency` goes by.
    """

    crash: float = 0.0
    aggregator_crash: float = 0.0
    back_s: float = 2.0
    hang: float = 0.0
    lost: float = 0.0
    lost_after_s: float = 10.0
    duplicate: float = 0.0
    slow: float = 0.0
    slow_factor: float = 5.0
    non_finite: float = 0.0
    non_finite_workers: Collection[str] = ()
    joins: Sequence[tuple[float, str]] = ()
    leaves: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True, slots=True)
class Crash:
    """Of a worker; hung: the attempt that it has not answered in time, for which it is killed."""

    worker: str
    hung: Key | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """Due for an assignment; failure: instead of computing it. again: a repeat of what was sent before."""

    assignment: Assignment
    dispatched_s: float
    failure: Failure | None = None


Due: TypeAlias = Reply | Crash | Joined | Left | Result
LOST = Failure(Cause.TIMEOUT, "no reply")
CANCELLED = Failure(Cause.CANCELLED, "cancelled")
NON_FINITE = Failure(Cause.NON_FINITE, "the answer is not finite")


class VirtualPool:
    """Nothing happens between events: `wait` moves the clock to the next one. O(log outstanding) an event.

    Args:
        workers: how many, >= 0, named worker-0, worker-1, …; one slot each.
        execute: computes the answer when it is due, at no virtual time; what it costs is `latency`'s to say.
        aggregators: workers of role "aggregator", named aggregator-0, …; they fail like all others.
    """

    def __init__(
        self,
        workers: int,
        execute: Execute,
        *,
        seed: int = 0,
        latency: Latency | None = None,
        faults: Faults | None = None,
        aggregators: int = 1,
    ) -> None:
        self._execute, self._seed = execute, seed
        self._latency, self._faults = latency or Latency(), faults or Faults()
        self._now_s = 0.0
        self._heap: list[tuple[float, int, Due]] = []
        self._pushed = 0
        self._present: dict[str, Joined] = {}
        self._outstanding: dict[Key, Assignment] = {}
        self._hung: set[Key] = set()  # attempts that nothing will come of, not even of a cancel
        self._numbers: dict[str, int] = {}
        self._delivered: deque[Wake] = deque(maxlen=REMEMBERED)
        self._deliveries = 0
        self._again: deque[Wake] = deque()
        for number in range(aggregators):
            self._push(0.0, Joined(f"{AGGREGATOR}-{number}", role=AGGREGATOR))
        for number in range(workers):
            self._push(0.0, Joined(f"worker-{number}"))
        for at_s, worker in self._faults.leaves:
            self._push(at_s, Left(worker, Cause.PREEMPTED))
        for at_s, worker in self._faults.joins:
            self._push(at_s, Joined(worker))

    def submit(self, assignments: Sequence[Assignment]) -> None:
        latency, faults, now_s, seed = self._latency, self._faults, self._now_s, self._seed
        for assignment in assignments:
            work, worker, attempt = assignment
            self._outstanding[work.id, attempt] = assignment
            number = self._numbers[worker]
            seconds = latency.seconds(work.kind, number, now_s, chance(seed, work.id, attempt))
            if faults.slow and chance(seed, work.id, attempt, 1) < faults.slow:
                seconds *= faults.slow_factor
            crash = faults.crash
            if work.place.role == AGGREGATOR:
                crash = max(crash, faults.aggregator_crash)
            if crash and chance(seed, work.id, attempt, 2) < crash:
                self._push(now_s + seconds * chance(seed, work.id, attempt, 3), Crash(worker))
            elif faults.hang and chance(seed, work.id, attempt, 7) < faults.hang:
                self._hung.add((work.id, attempt))
                self._push(now_s + faults.lost_after_s, Crash(worker, (work.id, attempt)))
            elif faults.lost and chance(seed, work.id, attempt, 4) < faults.lost:
                self._push(now_s + faults.lost_after_s, Reply(assignment, now_s, LOST))
            elif work.timeout_s is not None and seconds > work.timeout_s:
                self._push(now_s + work.timeout_s, Reply(assignment, now_s, LOST))
            elif faults.non_finite and self._not_finite(assignment):
                self._push(now_s + seconds, Reply(assignment, now_s, NON_FINITE))
            else:
                self._push(now_s + seconds, Reply(assignment, now_s))

    def cancel(self, work_ids: Sequence[int]) -> None:
        wanted = set(work_ids)
        for key, assignment in self._outstanding.items() if wanted else ():
            if key[0] in wanted and key not in self._hung:
                self._push(self._now_s, Reply(assignment, self._now_s, CANCELLED))

    def wait(self, deadline_s: float | None) -> Wake:
        wake = self._again.popleft() if self._again else self._next(deadline_s)
        self._delivered.append(wake)
        self._deliveries += 1
        return wake

    def _next(self, deadline_s: float | None) -> Wake:
        events: list[Event] = []
        while self._heap and not events:
            if deadline_s is not None and self._heap[0][0] > deadline_s:
                break
            self._now_s = self._heap[0][0]
            while self._heap and self._heap[0][0] == self._now_s:
                self._happen(heappop(self._heap)[2], events)
        if not events:
            assert deadline_s is not None, "nothing will ever happen on this pool"
            self._now_s = deadline_s
        return Wake(self._now_s, tuple(events))

    def reconcile(
        self, outstanding: Sequence[Assignment], present: Sequence[str], wakes_seen: int, now_s: float
    ) -> None:
        """Survives its engine: gives again what the engine has not seen and takes what it could not hand over."""
        if self._deliveries < wakes_seen:  # a new pool: all that was out went with the one before it
            self._deliveries = wakes_seen
            self._start_over(outstanding, present, now_s)
            return
        while self._deliveries > wakes_seen:
            self._again.appendleft(self._delivered.pop())
            self._deliveries -= 1
        again = {
            (event.work_id, event.attempt) for wake in self._again for event in wake.events if isinstance(event, Result)
        }
        known = again | self._outstanding.keys()
        self.submit([item for item in outstanding if (item.work.id, item.attempt) not in known])

    def interrupt(self) -> None:
        """Never blocks, so there is nothing to interrupt."""

    def close(self) -> None:
        """Holds nothing outside this process."""

    def _push(self, at_s: float, due: Due) -> None:
        heappush(self._heap, (at_s, self._pushed, due))
        self._pushed += 1

    def _happen(self, due: Due, events: list[Event]) -> None:
        if isinstance(due, Reply):
            work, _, attempt = due.assignment
            if self._outstanding.pop((work.id, attempt), None) is None:
                return  # ended by a crash, a cancel or a time-out before
            result = self._answer(due)
            events.append(result)
            if self._faults.duplicate and chance(self._seed, work.id, attempt, 5) < self._faults.duplicate:
                self._push(self._now_s + chance(self._seed, work.id, attempt, 6), result)
        elif isinstance(due, Result):
            events.append(due)
        elif isinstance(due, Joined):
            if due.worker not in self._present:
                self._present[due.worker] = due
                self._numbers[due.worker] = int(due.worker.rpartition("-")[2])
                events.append(due)
        elif due.worker in self._present:
            hung = due.hung if isinstance(due, Crash) else None
            if hung is not None and hung not in self._outstanding:
                return  # it was lost for another reason before
            joined = self._present.pop(due.worker)
            cause = due.cause if isinstance(due, Left) else Cause.TIMEOUT if hung else Cause.LOST_WORKER
            failure = LOST if hung else Failure(cause, f"{due.worker} left")
            for key, assignment in list(self._outstanding.items()):
                if assignment.worker == due.worker:
                    del self._outstanding[key]
                    events.append(self._failed(assignment, failure))
            events.append(Left(due.worker, cause))
            if isinstance(due, Crash):
                self._push(self._now_s + self._faults.back_s, joined)

    def _answer(self, due: Reply) -> Result:
        work, worker, attempt = due.assignment
        if due.failure is not None:
            return self._failed(due.assignment, due.failure)
        try:
            outputs, metrics = self._execute(work)
        except WorkFailed as error:
            return self._failed(due.assignment, error.failure)
        return Result(work.id, attempt, worker, outputs, metrics, self._now_s - due.dispatched_s, self._now_s)

    def _not_finite(self, assignment: Assignment) -> bool:
        work, worker, attempt = assignment
        faults = self._faults
        if work.counts is not Counts.QUORUM or (faults.non_finite_workers and worker not in faults.non_finite_workers):
            return False
        return chance(self._seed, work.id, attempt, 8) < faults.non_finite

    def _failed(self, assignment: Assignment, failure: Failure) -> Result:
        return Result(assignment.work.id, assignment.attempt, assignment.worker, {}, {}, 0.0, self._now_s, failure)

    def _start_over(self, outstanding: Sequence[Assignment], present: Sequence[str], now_s: float) -> None:
        self._now_s = now_s
        self._heap = [(max(at_s, now_s), number, due) for at_s, number, due in self._heap]
        heapify(self._heap)
        lost = Failure(Cause.PREEMPTED, "its pool ended with the engine")
        gone: list[Event] = [self._failed(assignment, lost) for assignment in outstanding]
        gone.extend(Left(worker, Cause.PREEMPTED) for worker in present)
        self._again.append(Wake(now_s, tuple(gone)))
