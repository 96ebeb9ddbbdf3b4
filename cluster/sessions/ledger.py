"""What a worker owes its engine: pure bookkeeping, without threads, streams or clocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from protos import ripieno_pb2 as pb

Key: TypeAlias = tuple[int, int]  # work id, attempt


def key_of(attempt: pb.Attempt) -> Key:
    return attempt.work_id, attempt.attempt


class Given(NamedTuple):
    """Work to be answered. era: which engine gave it; answers to an earlier one's are dropped."""

    assignment: pb.Assignment
    era: int


class Ledger:
    """Work is pending, then taken, then answered, and forgotten when the engine has acknowledged the answer."""

    def __init__(self) -> None:
        self._era = 0
        self._pending: deque[Given] = deque()
        self._taken: dict[Key, Given] = {}
        self._unwanted: set[Key] = set()  # of those: cancelled too late to be left undone
        self._sent: deque[pb.Result] = deque()  # not acknowledged
        self._acknowledged = 0  # on this stream

    @property
    def pending(self) -> int:
        return len(self._pending)

    def held(self) -> list[pb.Attempt]:
        """All that an engine need not give again."""
        given = [*self._pending, *self._taken.values()]
        return [*(item.assignment.attempt for item in given), *(result.attempt for result in self._sent)]

    def welcome(self, resumed: bool) -> list[pb.Result]:
        """A new stream has begun: the results to be sent again on it. Not resumed: all is forgotten, a new era."""
        self._acknowledged = 0
        if not resumed:
            self._era += 1
            self._pending.clear()
            self._taken.clear()
            self._unwanted.clear()
            self._sent.clear()
        return list(self._sent)

    def give(self, items: Iterable[pb.Assignment]) -> None:
        self._pending.extend(Given(item, self._era) for item in items)

    def take(self) -> Given:
        """The oldest pending work; there must be some."""
        given = self._pending.popleft()
        self._taken[key_of(given.assignment.attempt)] = given
        return given

    def cancel(self, attempts: Iterable[pb.Attempt]) -> list[Given]:
        """Takes those that are still pending, to be answered with what cancelled work gets; others are unwanted."""
        keys = {key_of(attempt) for attempt in attempts}
        self._unwanted.update(keys & self._taken.keys())
        given = [item for item in self._pending if key_of(item.assignment.attempt) in keys]
        self._pending = deque(item for item in self._pending if key_of(item.assignment.attempt) not in keys)
        self._taken.update((key_of(item.assignment.attempt), item) for item in given)
        return given

    def unwanted(self, given: Given) -> bool:
        """Whether nobody waits for this work, which was taken, any more."""
        key = key_of(given.assignment.attempt)
        return key in self._unwanted or self._taken.get(key) is not given

    def answer(self, given: Given, result: pb.Result) -> bool:
        """Whether this answer is owed: once for each work taken in this era."""
        key = key_of(given.assignment.attempt)
        if self._taken.get(key) is not given:
            return False
        del self._taken[key]
        self._unwanted.discard(key)
        self._sent.append(result)
        return True

    def acknowledge(self, count: int) -> list[pb.Result]:
        """The engine has this many of the results sent on this stream; returns those that it was not known to have."""
        news = [self._sent.popleft() for _ in range(min(count - self._acknowledged, len(self._sent)))]
        self._acknowledged += len(news)
        return news
