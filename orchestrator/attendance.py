"""Who was asked for a result, and whether it came in time: each answer judged as it comes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil
from typing import NamedTuple

from orchestrator.records import Actions, Cause, Counts, Late, Result, Wake

QUANTILES = (0.5, 0.9, 0.99)


class Verdict(StrEnum):
    """What became of one piece of work that was given out."""

    IN_TIME = "in time"
    LATE = "late"  # its round had its quorum before; interrupted ones too
    FAILED = "failed"


class Answer(NamedTuple):
    """One end of an assignment. round_trip_s: from giving it out to its answer. cause: why it failed, or None."""

    worker: str
    work_id: int
    round: int
    counts: Counts
    round_trip_s: float
    verdict: Verdict
    cause: Cause | None


class _Out(NamedTuple):
    attempt: int
    worker: str
    round: int
    counts: Counts
    late: Late
    dispatched_s: float


@dataclass(slots=True)
class Attendance:
    """Judges answers wake by wake, from a run's first wake or from any later one.

    repeats: answers to attempts that were not out: duplicates, or of an attempt that was given up. unknown: answers to
    work that may have been given out before we looked; 0 where we saw the run's first work given out.
    Cost: some 4 µs an answer; memory grows with work that is out, not with the run.
    """

    repeats: int = 0
    retried: int = 0
    unknown: int = 0
    from_the_start: bool = False
    _out: dict[int, _Out] = field(default_factory=dict)
    _by_round: dict[int, set[int]] = field(default_factory=dict)  # out for a quorum that is not met
    _late: set[int] = field(default_factory=set)  # out, though their quorum is met

    def answers(self, wake: Wake, actions: Actions) -> list[Answer]:
        """Of this wake, in order of arrival."""
        answers = [
            answer for event in wake.events if type(event) is Result and (answer := self._judged(event)) is not None
        ]
        for told in actions.told:
            work = told.work
            if work.counts is Counts.QUORUM and work.late is not Late.KEEP and told.result.failure is None:
                self._late |= self._by_round.pop(work.round, set())
        for work, worker, attempt in actions.submit:
            self.from_the_start |= work.id == 0 and attempt == 1
            self.retried += attempt > 1
            self._out[work.id] = _Out(attempt, worker, work.round, work.counts, work.late, wake.now_s)
            if work.counts is Counts.QUORUM and work.late is not Late.KEEP:
                self._by_round.setdefault(work.round, set()).add(work.id)
        return answers

    def overdue(self) -> Iterator[str]:
        """The worker of each piece of work that is still out though its round did without it."""
        for work_id in self._late:
            yield self._out[work_id].worker

    def _judged(self, result: Result) -> Answer | None:
        out = self._out.get(result.work_id)
        if out is None or out.attempt != result.attempt:
            if self.from_the_start:
                self.repeats += 1
            else:
                self.unknown += 1
            return None
        del self._out[result.work_id]
        late = result.work_id in self._late
        self._late.discard(result.work_id)
        if (ids := self._by_round.get(out.round)) is not None:
            ids.discard(result.work_id)
            if not ids:
                del self._by_round[out.round]
        cause = None if result.failure is None else result.failure.cause
        if late and cause in (None, Cause.CANCELLED):
            verdict, cause = Verdict.LATE, None
        else:
            verdict = Verdict.IN_TIME if cause is None else Verdict.FAILED
        elapsed_s = max(0.0, result.received_s - out.dispatched_s)
        return Answer(out.worker, result.work_id, out.round, out.counts, elapsed_s, verdict, cause)


def quantiles(values: Iterable[float]) -> tuple[float, ...]:
    """Those of QUANTILES, each a value that occurred: the least that so large a share is not above. (): of none."""
    ordered = sorted(values)
    return tuple(ordered[ceil(share * len(ordered)) - 1] for share in QUANTILES) if ordered else ()
