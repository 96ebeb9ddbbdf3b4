"""Rare orders of events, each of which once went wrong or could."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator.errors import RunFailed
from orchestrator.records import (
    AGGREGATOR,
    Cause,
    Counts,
    Joined,
    Late,
    Left,
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


def test_a_straggler_that_died_is_not_present() -> None:
    works = [gradient(0, "a"), gradient(1, "b"), gradient(2, "c")]
    stage = Stage(Script(*works), WaitFor(2), workers="abc")
    stage.strategy.to_ask = [gradient(3, "a", round_=1), gradient(4, "b", round_=1)]
    stage.wake(answer(0, "a"), answer(1, "b"))
    lost = answer(2, "c", failure=failing(Cause.LOST_WORKER))
    stage.wake(answer(3, "a"), lost, Left("c", Cause.LOST_WORKER))
    evidence = stage.quorum.seen[-1]
    assert (evidence.eligible, evidence.present, evidence.arrived) == (3, 2, 1)


def test_a_worker_that_is_back_in_the_same_wake_may_be_asked_again_and_is_present() -> None:
    stage = Stage(Script(*(gradient(number, worker) for number, worker in enumerate("abc"))), WaitFor(3), workers="abc")
    stage.wake(answer(0, "a"))
    stage.strategy.to_ask = [gradient(3, "b")]
    lost = answer(1, "b", failure=failing(Cause.LOST_WORKER))
    actions = stage.wake(lost, Left("b", Cause.LOST_WORKER), Joined("b"))
    assert given(actions) == [(3, "b", 1)]
    assert [(decided.present, decided.decision.wait_for) for decided in actions.decided] == [(3, 3)]


def test_a_run_that_is_finished_does_not_fail_for_want_of_workers() -> None:
    stage = Stage(Script(beside(0, Counts.ASIDE)), WaitFor(1), workers="a", min_workers=2)
    stage.now_s = 11.0
    stage.strategy.finished = True
    assert ids(stage.wake(answer(0, "agg")).told) == [0]


def test_attempts_are_counted_by_cause_whatever_the_messages_say() -> None:
    stage = Stage(Script(gradient(0)), WaitFor(1), workers="ab")
    failure = failing(Cause.LOST_WORKER, message=Cause.LOST_WORKER)
    assert given(stage.wake(answer(0, "a", failure=failure))) == [(0, "b", 2)]
    assert given(stage.wake(answer(0, "b", attempt=2, failure=failure))) == [(0, "a", 3)]


def test_workers_that_all_run_out_of_memory_end_the_run_with_the_numbers() -> None:
    stage = Stage(Script(gradient(0, "a"), gradient(1, "b")), WaitFor(2), workers="ab")
    stage.wake(answer(0, "a", failure=failing(Cause.OUT_OF_MEMORY, "needed 3 GiB")))
    with pytest.raises(RunFailed, match=r"every present worker ran out of memory \(needed 3 GiB\)"):
        stage.wake(answer(1, "b", failure=failing(Cause.OUT_OF_MEMORY, "needed 3 GiB")))


def test_one_work_that_raises_twice_is_not_called_two() -> None:
    stage = Stage(Script(gradient(0)), WaitFor(1), workers="abc")
    stage.wake(answer(0, "a", failure=failing(Cause.USER_ERROR)))
    with pytest.raises(RunFailed, match="gradient 0 raised no on two workers"):
        stage.wake(answer(0, "c", attempt=2, failure=failing(Cause.USER_ERROR)))


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


def test_an_endless_round_closes_and_begins_anew_with_each_ask() -> None:
    stage = Stage(Script(*(gradient(number, late=Late.KEEP) for number in range(3))), WaitFor(1), workers="abc")
    for number in range(5):
        stage.strategy.to_ask = [gradient(number + 3, late=Late.KEEP)]
        actions = stage.wake(answer(number, "abc"[number % 3]))
        assert given(actions) == [(number + 3, "abc"[number % 3], 1)]
        assert ids(actions.told) == [number]
        assert len(actions.closed) == (number in (0, 3))  # 1 and 2 were late; 3 to 5 are one round
