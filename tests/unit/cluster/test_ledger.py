"""What a worker owes: every piece of work is answered until the engine has the answer, and never to another engine."""

from __future__ import annotations

from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import DataObject, booleans, data, integers, lists, sampled_from

from cluster.sessions.ledger import Given, Ledger, key_of
from protos import ripieno_pb2 as pb
from tests.support.sessions import assignment


def result(given: Given) -> pb.Result:
    return pb.Result(attempt=given.assignment.attempt)


class Owing(RuleBasedStateMachine):
    """Any order of work, answers, acknowledgements and broken streams, against an engine that only counts."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.ledger.welcome(resumed=False)
        self.number = 0
        self.taken: list[Given] = []
        self.stale: list[Given] = []
        self.wire: list[int] = []  # results on this stream
        self.acknowledged = 0
        self.owed: set[int] = set()  # given in this era and not acknowledged

    @rule(count=integers(1, 3))
    def work_comes(self, count: int) -> None:
        items = [assignment(self.number + offset) for offset in range(count)]
        self.number += count
        self.owed |= {item.attempt.work_id for item in items}
        self.ledger.give(items)

    @precondition(lambda self: self.ledger.pending)
    @rule()
    def some_is_taken(self) -> None:
        self.taken.append(self.ledger.take())

    @precondition(lambda self: self.taken)
    @rule(draw=data())
    def some_is_answered(self, draw: DataObject) -> None:
        given = draw.draw(sampled_from(self.taken))
        self.taken.remove(given)
        assert self.ledger.answer(given, result(given))
        assert not self.ledger.answer(given, result(given))
        assert self.ledger.unwanted(given)
        self.wire.append(given.assignment.attempt.work_id)

    @rule(numbers=lists(integers(0, 9), max_size=3))
    def some_is_cancelled(self, numbers: list[int]) -> None:
        cancelled = self.ledger.cancel(assignment(number).attempt for number in numbers)
        for given in self.taken:
            assert self.ledger.unwanted(given) >= (given.assignment.attempt.work_id in numbers)
        for given in cancelled:
            assert given.assignment.attempt.work_id in numbers
            assert self.ledger.answer(given, result(given))
            self.wire.append(given.assignment.attempt.work_id)

    @precondition(lambda self: self.acknowledged < len(self.wire))
    @rule(draw=data())
    def some_is_acknowledged(self, draw: DataObject) -> None:
        count = draw.draw(integers(self.acknowledged, len(self.wire)))
        news = self.wire[self.acknowledged : count]
        self.acknowledged = count
        assert [result.attempt.work_id for result in self.ledger.acknowledge(count)] == news
        self.owed -= set(news)

    @rule(resumed=booleans())
    def the_stream_breaks(self, resumed: bool) -> None:
        unsure = self.wire[self.acknowledged :]
        again = self.ledger.welcome(resumed)
        self.wire, self.acknowledged = [item.attempt.work_id for item in again], 0
        assert self.wire == (unsure if resumed else [])
        if not resumed:
            self.owed.clear()
            self.stale += self.taken
            self.taken.clear()

    @rule()
    def stale_answers_come(self) -> None:
        assert not any(self.ledger.answer(given, result(given)) for given in self.stale)
        assert all(map(self.ledger.unwanted, self.stale))

    @invariant()
    def what_is_owed_is_held(self) -> None:
        assert sorted(key_of(attempt)[0] for attempt in self.ledger.held()) == sorted(self.owed)


TestOwing = Owing.TestCase
