"""Each piece of work that was given out ends once, in time, late or failed; and what a run says of itself adds up."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.attendance import Attendance, Verdict, quantiles
from orchestrator.failovers import Failovers
from orchestrator.journal.records import Resumed, Snapshot
from orchestrator.records import (
    Actions,
    Assignment,
    Cause,
    Closed,
    Counts,
    Failure,
    Joined,
    Late,
    Left,
    Result,
    Told,
    Wake,
    Work,
)
from orchestrator.summary import Summary
from tests.support.tracking import closed_round, started, training

NOTHING = Actions((), ())
histories = st.builds(training, st.integers(0, 5), st.booleans())


def given_out(*works: Work, attempt: int = 1) -> Actions:
    return Actions([Assignment(work, f"worker-{work.id}", attempt) for work in works], ())


def answer(work: Work, at_s: float, cause: Cause | None = None, attempt: int = 1) -> Result:
    failure = None if cause is None else Failure(cause, "")
    return Result(work.id, attempt, f"worker-{work.id}", {}, {}, 1.0, at_s, failure)


@given(histories)
def test_every_assignment_ends_once_or_is_still_out(history: list[tuple[Wake, Actions]]) -> None:
    attendance, ends, assignments, results = Attendance(), 0, 0, 0
    for wake, actions in history:
        ends += len(attendance.answers(wake, actions))
        assignments += len(actions.submit)
        results += sum(isinstance(event, Result) for event in wake.events)
    assert results == ends + attendance.repeats
    assert ends <= assignments
    assert attendance.unknown == 0


@given(histories)
def test_in_time_is_what_the_core_told_the_strategy_of(history: list[tuple[Wake, Actions]]) -> None:
    attendance, verdicts, told = Attendance(), Counter[Verdict](), 0
    for wake, actions in history:
        for one in attendance.answers(wake, actions):
            verdicts[one.verdict] += one.counts is Counts.QUORUM
        told += sum(t.work.counts is Counts.QUORUM and t.result.failure is None for t in actions.told)
    assert 0 <= verdicts[Verdict.IN_TIME] - told <= 4  # some may be in of a round that never closed


@given(histories)
def test_the_workers_figures_add_up_to_those_of_the_run(history: list[tuple[Wake, Actions]]) -> None:
    summary = Summary()
    for wake, actions in history:
        summary.seen(wake, actions)
    workers = summary.workers
    assert sum(worker.answered for worker in workers) == summary.done >= summary.useful
    assert [worker.late_share for worker in workers] == sorted((w.late_share for w in workers), reverse=True)
    assert workers[0].worker == "worker-3"  # five times slower
    assert 0 < summary.useful_time <= 1
    for worker in workers:
        if worker.p50_s is not None and worker.p90_s is not None and worker.p99_s is not None:
            assert 0 <= worker.p50_s <= worker.p90_s <= worker.p99_s


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_so_large_a_share_is_at_or_below_each_quantile(values: list[float]) -> None:
    for share, value in zip((0.5, 0.9, 0.99), quantiles(values), strict=True):
        assert value in values
        assert sum(other <= value for other in values) >= share * len(values)
        assert sum(other < value for other in values) < share * len(values)


@pytest.mark.parametrize("cause", [None, Cause.CANCELLED])
def test_what_comes_or_is_interrupted_after_its_rounds_quorum_is_late(cause: Cause | None) -> None:
    attendance = Attendance()
    first, second = (Work(number, 1, "gradient", {}, {}, late=Late.INTERRUPT) for number in range(2))
    attendance.answers(Wake(0.0, ()), given_out(first, second))
    result = answer(first, 1.0)
    (one,) = attendance.answers(Wake(1.0, (result,)), Actions((), [1], told=[Told(first, result, 0.0)]))
    assert (one.verdict, one.round_trip_s) == (Verdict.IN_TIME, 1.0)
    assert list(attendance.overdue()) == ["worker-1"]
    (other,) = attendance.answers(Wake(5.0, (answer(second, 5.0, cause),)), NOTHING)
    assert (other.verdict, other.cause, other.round_trip_s) == (Verdict.LATE, None, 5.0)
    assert list(attendance.overdue()) == []


def test_what_is_kept_is_never_late() -> None:
    attendance = Attendance()
    first, second = (Work(number, 1, "gradient", {}, {}, late=Late.KEEP) for number in range(2))
    attendance.answers(Wake(0.0, ()), given_out(first, second))
    result = answer(first, 1.0)
    attendance.answers(Wake(1.0, (result,)), Actions((), (), told=[Told(first, result, 0.0)]))
    (other,) = attendance.answers(Wake(5.0, (answer(second, 5.0),)), NOTHING)
    assert other.verdict is Verdict.IN_TIME


def test_failures_retries_and_repeats_are_counted_by_cause() -> None:
    summary = Summary()
    work = Work(0, 1, "gradient", {}, {})
    summary.seen(Wake(0.0, (Joined("worker-0"),)), given_out(work))
    summary.seen(Wake(1.0, (answer(work, 1.0, Cause.TIMEOUT),)), given_out(work, attempt=2))
    summary.seen(Wake(2.0, (answer(work, 2.0, attempt=1),)), NOTHING)  # the first attempt after all
    summary.seen(Wake(3.0, (answer(work, 3.0, Cause.NON_FINITE, attempt=2),)), NOTHING)
    faults = summary.faults
    assert faults.failures == {"timeout": 1, "non-finite": 1}
    assert (faults.retried, faults.repeats, faults.rejected) == (1, 1, 1)


def answered(number: int, at_s: float, closed: Closed | None = None) -> tuple[Wake, Actions]:
    work = Work(number, number, "gradient", {}, {})
    result = Result(number, 1, "worker-0", {}, {}, 1.0, at_s)
    return Wake(at_s, (result,)), Actions((), (), told=[Told(work, result, 0.0)], closed=[closed] if closed else ())


def seen(failovers: Failovers, attendance: Attendance, wake: Wake, actions: Actions) -> None:
    failovers.seen(wake, actions, attendance.answers(wake, actions))


def test_a_worker_is_back_when_it_has_a_result_in_time() -> None:
    failovers, attendance = Failovers(), Attendance()
    work = Work(7, 7, "gradient", {}, {})
    seen(failovers, attendance, Wake(0.0, (Joined("worker-0"), Joined("aggregator-0", role="aggregator"))), NOTHING)
    seen(failovers, attendance, Wake(10.0, (Left("worker-0", Cause.LOST_WORKER),)), NOTHING)
    again = Actions([Assignment(work, "worker-0", 1)], ())
    seen(failovers, attendance, Wake(13.0, (Joined("worker-0"),)), again)
    seen(failovers, attendance, *answered(7, 14.5))
    assert (failovers.worker_s, failovers.left, failovers.replaced) == ([4.5], 1, 1)


def test_an_aggregator_is_back_when_a_round_closes() -> None:
    failovers, attendance = Failovers(), Attendance()
    seen(failovers, attendance, Wake(0.0, (Joined("aggregator-0", role="aggregator"),)), NOTHING)
    seen(failovers, attendance, Wake(2.0, (Left("aggregator-0", Cause.LOST_WORKER),)), NOTHING)
    seen(failovers, attendance, Wake(3.0, (Joined("aggregator-0", role="aggregator"),)), NOTHING)
    seen(failovers, attendance, *answered(1, 3.5, closed_round(1, 0.0, 3.5)))
    assert (failovers.aggregator_s, failovers.worker_s, failovers.left) == ([1.5], [], 0)


@pytest.mark.parametrize(("stopped", "failovers_s"), [(False, [20.0]), (True, [])])
def test_an_engine_that_was_killed_is_back_when_a_round_closes_and_one_that_was_stopped_never_was_away(
    stopped: bool, failovers_s: list[float]
) -> None:
    """Killed 10 s after its start, resumed 15 s later; its workers went with it."""
    failovers, attendance = Failovers(), Attendance()
    failovers.recorded(started())  # 22:13:20
    seen(failovers, attendance, Wake(0.0, (Joined("worker-0"),)), NOTHING)
    seen(failovers, attendance, Wake(10.0, ()), NOTHING)
    failovers.recorded(Snapshot(2 if stopped else 1, "1", ""))
    failovers.recorded(Resumed(2, {}, "2023-11-14T22:13:45+00:00"))
    seen(failovers, attendance, Wake(10.0, (Left("worker-0", Cause.PREEMPTED),)), NOTHING)
    seen(failovers, attendance, Wake(13.0, (Joined("worker-0"),)), NOTHING)
    seen(failovers, attendance, *answered(1, 15.0, closed_round(1, 0.0, 15.0)))
    assert failovers.engine_s == failovers_s
    assert (failovers.worker_s, failovers.left) == ([], 0)
