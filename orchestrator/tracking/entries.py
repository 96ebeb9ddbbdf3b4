"""What of a wake goes on record, picked out while the engine runs: a few µs a wake, no arithmetic on metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestrator.attendance import Attendance, Verdict
from orchestrator.records import Actions, Closed, Counts, Result, Row, Wake

SPAN_S = 5.0
FIRST_ROUNDS, RECORD_EVERY_S = 500, 0.5


class WorkerSpan(NamedTuple):
    """One worker's answers within a span. round_trips_s: of those that did not fail. late: how many were."""

    worker: str
    round_trips_s: Sequence[float]
    late: int


class Span(NamedTuple):
    """Some SPAN_S seconds, from the close of one round to that of another, `step`. failures: attempts by cause."""

    step: int
    workers: Sequence[WorkerSpan]
    failures: Mapping[str, int]


class Entry(NamedTuple):
    """One wake's part of the record.

    closed: rounds on record. results, useful: how many results for quorums came since the last one before, and how many
    of them were of use; both 0 where there is none, or nobody saw the one before it. span: one that ended here.
    """

    now_s: float
    rows: Sequence[Row]
    closed: Sequence[Closed]
    results: int
    useful: int
    span: Span | None = None


class _Spans:
    """Cuts the run's time at the first close of a round in each SPAN_S seconds, by its clock.

    A span in which an answer came to work that was given out before we looked is left out: what it was is not known.
    """

    def __init__(self) -> None:
        self._attendance = Attendance()
        self._number: int | None = None
        self._whole = False  # whether all of this span was seen, and understood
        self._begin()

    def seen(self, wake: Wake, actions: Actions) -> Span | None:
        for answer in self._attendance.answers(wake, actions):
            if answer.cause is not None:
                self._failures[answer.cause] = self._failures.get(answer.cause, 0) + 1
            elif answer.counts is Counts.QUORUM:
                self._round_trips_s.setdefault(answer.worker, []).append(answer.round_trip_s)
                if answer.verdict is Verdict.LATE:
                    self._late[answer.worker] = self._late.get(answer.worker, 0) + 1
        if not actions.closed:
            return None
        number = int(wake.now_s // SPAN_S)
        if self._number is None:
            self._number, self._whole = number, self._attendance.from_the_start
        if number == self._number:
            return None
        span = (
            self._cut(actions.closed[-1].round) if self._whole and self._attendance.unknown == self._unknown else None
        )
        self._number, self._whole = number, True
        self._begin()
        return span

    def _begin(self) -> None:
        self._round_trips_s: dict[str, list[float]] = {}
        self._late: dict[str, int] = {}
        self._failures: dict[str, int] = {}
        self._unknown = self._attendance.unknown

    def _cut(self, step: int) -> Span:
        workers = [
            WorkerSpan(worker, self._round_trips_s[worker], self._late.get(worker, 0))
            for worker in sorted(self._round_trips_s)
        ]
        return Span(step, workers, self._failures)


class Gleaner:
    """Turns wakes into entries; most wakes have none.

    Of quick rounds beyond the first FIRST_ROUNDS one each RECORD_EVERY_S is on record, with its row: MLflow takes some
    thousand figures a second if it has a core to itself, and nobody looks at so many.
    Pure: whichever wake it sees first, its entries are what they would have been, from the second round on record on; a
    span that it has not seen all of is none.
    """

    def __init__(self) -> None:
        self._saw_a_round_close = False
        self._slot: int | None = None  # of RECORD_EVERY_S, in which the latest round closed
        self._results = self._useful = 0
        self._spans = _Spans()

    def glean(self, wake: Wake, actions: Actions) -> Entry | None:
        for event in wake.events:
            if type(event) is Result:
                self._results += 1
        for told in actions.told:
            if told.work.counts is not Counts.QUORUM:
                self._results -= 1  # told as soon as it is in: of this wake
            elif told.result.failure is None:
                self._useful += 1
        span = self._spans.seen(wake, actions)
        if not actions.closed:
            return Entry(wake.now_s, actions.rows, (), 0, 0) if actions.rows else None
        closed = self._on_record(wake.now_s, actions.closed)
        left_out = {one.round for one in actions.closed} - {one.round for one in closed}
        rows = [row for row in actions.rows if row.step not in left_out]
        results = useful = 0
        if closed:
            if self._saw_a_round_close:
                results, useful = self._results, self._useful
            self._saw_a_round_close, self._results, self._useful = True, 0, 0
        return Entry(wake.now_s, rows, closed, results, useful, span) if closed or rows or span else None

    def _on_record(self, now_s: float, closed: Sequence[Closed]) -> Sequence[Closed]:
        slot, before = int(now_s // RECORD_EVERY_S), self._slot
        self._slot = slot
        if before is not None and slot > before:
            return closed
        return [one for one in closed if one.round <= FIRST_ROUNDS]
