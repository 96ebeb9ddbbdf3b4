"""Rare orders of events, each of which once went wrong or could."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.records import (
    AGGREGATOR,
    Cause,
    Counts,
    Late,
    Place,
    Told,
    Work,
)
from tests.unit.core.test_core import Script, Stage, WaitFor, answer, failing, given, gradient


def beside(number: int, counts: Counts, late: Late = Late.DROP) -> Work:
    """Work of round 0 for the aggregator."""
    return Work(number, 0, "beside", {}, {}, Place(role=AGGREGATOR), counts, late)


def ids(told: Sequence[Told]) -> list[int]:
    return [item.work.id for item in told]


def test_what_waits_for_an_aggregator_outlives_the_quorum_of_its_round() -> None:
    for counts in (Counts.ASIDE, Counts.REQUIRED):
        works = [gradient(0, "a"), gradient(1, "b"), beside(2, counts), beside(3, counts)]
        stage = Stage(Script(*works), WaitFor(1), workers="ab")
        assert ids(stage.wake(answer(0, "a")).told) == [0]
        assert given(stage.wake(answer(2, "agg"))) == [(3, "agg", 1)]


def test_only_late_quorum_work_is_interrupted() -> None:
    late = gradient(1, "b", late=Late.INTERRUPT)
    aside = beside(2, Counts.ASIDE, Late.INTERRUPT)
    other = gradient(3, "a", round_=1, late=Late.INTERRUPT)
    stage = Stage(Script(gradient(0, "a"), late, aside, other), WaitFor(1), workers="ab")
    assert stage.wake(answer(0, "a")).cancel == [1]


def test_late_work_does_not_count_for_a_new_round_of_the_same_number() -> None:
    stage = Stage(Script(*(gradient(number, late=Late.KEEP) for number in range(3))), WaitFor(1), workers="abc")
    stage.wake(answer(0, "a"))
    stage.strategy.to_ask = [gradient(3, late=Late.KEEP)]
    stage.wake()
    stage.wake(answer(1, "b", failure=failing(Cause.BAD_REPLY)), answer(2, "c"))
    assert stage.told() == [0, 1, 2]
    stage.strategy.finished = True
    assert stage.wake(answer(3, "a")).closed[0].present == 1
    assert stage.told() == [0, 1, 2, 3]
