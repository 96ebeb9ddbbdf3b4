"""One round: what was asked of it, what came, and what was decided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.records import Decision, Told


@dataclass(slots=True)
class Round:
    """A cohort of work from its first ask until its quorum is met and its REQUIRED work is done.

    pending: ids of quorum work asked that is neither counted nor given up; empty once the quorum is met, for what comes
    then is late. required: how much REQUIRED work is not yet in.
    asked: workers that were given quorum work of it.
    eligible, present: as last decided.
    """

    number: int
    opened_s: float
    waited_for_before: int
    pending: set[int] = field(default_factory=set)
    required: int = 0
    counted: list[Told] = field(default_factory=list)
    offsets_s: list[float] = field(default_factory=list)
    asked: dict[str, None] = field(default_factory=dict)  # ordered, as a set is not from one process to the next
    eligible: int = 0
    present: int = 0
    decision: Decision | None = None
    undecided: bool = True  # no decision yet, or the membership changed since
    met_s: float | None = None

    @property
    def open(self) -> bool:
        return self.met_s is None

    def reachable(self, may_be_asked: Iterable[str]) -> int:
        """How many results may be counted in all: those in, those out, and one for each worker that may yet be asked
        and was not."""
        others = {worker for worker in may_be_asked if worker not in self.asked}
        return len(self.counted) + len(self.pending) + len(others)

    def due(self, now_s: float) -> bool:
        """Whether its decision is fulfilled: enough results, or the deadline with at least the least."""
        decision = self.decision
        if decision is None or self.undecided:
            return False
        if len(self.counted) >= decision.wait_for:
            return True
        return (
            decision.deadline_s is not None and now_s >= decision.deadline_s and len(self.counted) >= decision.at_least
        )
