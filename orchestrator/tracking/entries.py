"""What of a wake goes on record, picked out while the engine runs: a few µs a wake, no arithmetic on metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.records import Actions, Closed, Counts, Result, Row, Wake


class Entry(NamedTuple):
    """One wake's part of the record.

    results, useful: how many results for quorums came since the round before closed, and how many of them were of
    use; both 0 where no round closed, or nobody saw the one before it.
    """

    now_s: float
    rows: Sequence[Row]
    closed: Sequence[Closed]
    results: int
    useful: int


class Gleaner:
    """Turns wakes into entries; most wakes have none.

    Pure: whichever wake it sees first, its entries are what they would have been, from the second closed round on.
    """

    def __init__(self) -> None:
        self._saw_a_round_close = False
        self._results = self._useful = 0

    def glean(self, wake: Wake, actions: Actions) -> Entry | None:
        for event in wake.events:
            if type(event) is Result:
                self._results += 1
        for told in actions.told:
            if told.work.counts is not Counts.QUORUM:
                self._results -= 1  # told as soon as it is in: of this wake
            elif told.result.failure is None:
                self._useful += 1
        if actions.closed:
            results, useful = (self._results, self._useful) if self._saw_a_round_close else (0, 0)
            self._saw_a_round_close, self._results, self._useful = True, 0, 0
            return Entry(wake.now_s, actions.rows, actions.closed, results, useful)
        if actions.rows:
            return Entry(wake.now_s, actions.rows, (), 0, 0)
        return None
