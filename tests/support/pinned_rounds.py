"""The smallest strategy: rounds of no-op work, one pinned to each idle worker, push-and-wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.protocols import Idle
from orchestrator.records import Json, Place, Ref, Row, Told, Work


class PinnedRounds:
    """Ends after `rounds` rounds; finished work is counted in `items`."""

    def __init__(self, rounds: int) -> None:
        self.rounds, self.round, self.next_id, self.items = rounds, 0, 0, 0
        self.asked: set[str] = set()
        self.published = True

    def ask(self, idle: Idle) -> Sequence[Work]:
        works: list[Work] = []
        for worker in idle if self.published else idle.fresh:
            if worker in idle and worker not in self.asked:
                self.asked.add(worker)
                works.append(Work(self.next_id, self.round, "noop", {}, {}, Place(worker)))
                self.next_id += 1
        self.published = False
        return works

    def tell(self, results: Sequence[Told]) -> Sequence[Row]:
        counted = 0
        for told in results:
            if told.result.failure is None:
                counted += 1
            else:
                self.asked.discard(told.work.place.worker)
        if counted:
            self.items += counted
            self.round += 1
            self.asked.clear()
            self.published = True
        return ()

    def may_ask(self, worker: str) -> bool:
        return True

    @property
    def finished(self) -> bool:
        return self.round >= self.rounds

    @property
    def model(self) -> None:
        return None

    @property
    def signals(self) -> Mapping[str, float]:
        return {}

    def held(self) -> Iterable[Ref]:
        return ()

    def state_dict(self) -> Json:
        return [self.round, self.next_id, self.items, sorted(self.asked)]

    def load_state_dict(self, state: Any) -> None:
        self.round, self.next_id, self.items, asked = state
        self.asked, self.published = set(asked), False
