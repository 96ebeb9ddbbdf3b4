"""How long a run took to go on after it had lost a worker, its aggregator or its engine. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.attendance import Answer, Verdict
from orchestrator.journal.records import Record, Resumed, Snapshot, Started
from orchestrator.records import WORKER, Actions, Cause, Counts, Joined, Left, Wake


@dataclass(slots=True)
class Failovers:
    """Seconds of each failover, in order.

    worker_s: from when a worker's loss was noticed until it, or the one that took its place, had a result in time.
    aggregator_s: from when its loss was noticed until the next round closed. engine_s: from the last wake of an engine
    that was killed until the first round that closed after the resume, time in which nobody resumed it included.
    left, replaced: workers that went, for whatever reason but the engine's own end, and that came in the place of one.
    """

    worker_s: list[float] = field(default_factory=list)
    aggregator_s: list[float] = field(default_factory=list)
    engine_s: list[float] = field(default_factory=list)
    left: int = 0
    replaced: int = 0
    _roles: dict[str, str] = field(default_factory=dict)
    _lost_s: dict[str, float] = field(default_factory=dict)  # workers that are gone, oldest loss first
    _returning_s: dict[str, float] = field(default_factory=dict)  # who takes a lost one's place, and since when
    _aggregator_lost_s: float | None = None
    _now_s: float = 0.0
    _zero_s: float | None = None  # Unix time at which the run's clock would have been 0
    _wakes: int = 0
    _stopped: bool = False  # by its own snapshot, which is no failure
    _away_s: float | None = None

    def recorded(self, record: Record) -> None:
        """Any record of the journal but a wake, which goes to `seen`."""
        if isinstance(record, Snapshot):
            self._stopped = record.wakes == self._wakes
        elif isinstance(record, Started):
            self._zero_s = datetime.fromisoformat(record.started_at).timestamp()
        elif isinstance(record, Resumed):
            resumed_s = datetime.fromisoformat(record.resumed_at).timestamp() - self._now_s
            if self._zero_s is not None and not self._stopped:
                self._away_s = max(0.0, resumed_s - self._zero_s) - self._now_s
            self._zero_s = resumed_s

    def seen(self, wake: Wake, actions: Actions, answers: Sequence[Answer]) -> None:
        """One wake, and its answers as `Attendance` judged them."""
        self._now_s, self._stopped = wake.now_s, False
        self._wakes += 1
        for event in wake.events:
            if isinstance(event, Left):
                self._leave(event, wake.now_s)
            elif isinstance(event, Joined):
                self._join(event)
        if self._returning_s:
            for answer in answers:
                if answer.counts is Counts.QUORUM and answer.verdict is Verdict.IN_TIME:
                    self._back(answer.worker, wake.now_s)
        if actions.closed:
            if self._aggregator_lost_s is not None:
                self.aggregator_s.append(wake.now_s - self._aggregator_lost_s)
                self._aggregator_lost_s = None
            if self._away_s is not None:
                self.engine_s.append(self._away_s + wake.now_s)
                self._away_s = None

    def _leave(self, left: Left, now_s: float) -> None:
        role = self._roles.pop(left.worker, WORKER)
        if left.cause is Cause.PREEMPTED:  # with its engine
            self._returning_s.pop(left.worker, None)
        elif role == WORKER:
            self.left += 1
            self._lost_s[left.worker] = self._returning_s.pop(left.worker, now_s)
        else:
            self._aggregator_lost_s = now_s if self._aggregator_lost_s is None else self._aggregator_lost_s

    def _join(self, joined: Joined) -> None:
        self._roles[joined.worker] = joined.role
        if joined.role == WORKER and self._lost_s:
            instead_of = joined.worker if joined.worker in self._lost_s else next(iter(self._lost_s))
            self._returning_s[joined.worker] = self._lost_s.pop(instead_of)
            self.replaced += 1

    def _back(self, worker: str, now_s: float) -> None:
        if worker in self._returning_s:
            self.worker_s.append(now_s - self._returning_s.pop(worker))
