"""What every Pool promises. A new pool subclasses PoolContract and supplies `make`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest

from orchestrator.pools.execute import WorkFailed
from orchestrator.pools.inline import InlinePool
from orchestrator.pools.latency import Latency, ShiftedExponential
from orchestrator.pools.virtual import Faults, VirtualPool
from orchestrator.protocols import Pool
from orchestrator.records import (
    AGGREGATOR,
    WORKER,
    Assignment,
    Cause,
    Event,
    Failure,
    Joined,
    Left,
    Place,
    Ref,
    Result,
    Wake,
    Work,
)

WORKERS = 3


def noop(work: Work) -> tuple[dict[str, Ref], dict[str, float]]:
    """The work of these tests: `raise` in its params makes it fail with that cause."""
    if "raise" in work.params:
        raise WorkFailed(Failure(Cause(str(work.params["raise"])), "as asked"))
    return {"out": Ref(f"{work.id}.out")}, {"twice": 2.0 * work.id}


class History:
    """Drives a pool the way a core does, one work a slot, and keeps what it said."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.wakes: list[Wake] = []
        self.free: dict[str, int] = {}
        self.given: dict[tuple[int, int], Assignment] = {}

    @property
    def events(self) -> list[Event]:
        return [event for wake in self.wakes for event in wake.events]

    @property
    def results(self) -> list[Result]:
        return [event for event in self.events if isinstance(event, Result)]

    def wait(self, deadline_s: float | None = None) -> Wake:
        wake = self.pool.wait(deadline_s)
        self.wakes.append(wake)
        for event in wake.events:
            if isinstance(event, Joined) and event.role == WORKER:
                self.free[event.worker] = event.slots
            elif isinstance(event, Left):
                self.free.pop(event.worker, None)
            elif isinstance(event, Result) and event.worker in self.free:
                self.free[event.worker] = 1
        return wake

    def until(self, done: Callable[[], bool]) -> None:
        for _ in range(10_000):
            if done():
                return
            self.wait(self.wakes[-1].now_s + 30 if self.wakes else 30.0)
        raise AssertionError(f"not after 10,000 wakes: {self.wakes[-3:]}")

    def give(self, work: Work, attempt: int = 1) -> Assignment:
        self.until(lambda: any(self.free.values()))
        worker = next(worker for worker, free in self.free.items() if free)
        self.free[worker] = 0
        assignment = Assignment(work, worker, attempt)
        self.given[work.id, attempt] = assignment
        self.pool.submit([assignment])
        return assignment


def work(number: int, **params: str) -> Work:
    return Work(number, 0, "noop", {}, params, Place())


class PoolContract:
    """make(): a new pool with WORKERS workers that do `noop`; called again for the pool of the next engine."""

    @pytest.fixture
    def make(self) -> Callable[[], Pool]:
        raise NotImplementedError

    @pytest.fixture
    def history(self, make: Callable[[], Pool]) -> Iterator[History]:
        history = History(make())
        yield history
        history.pool.close()

    def test_every_worker_joins_once(self, history: History) -> None:
        history.until(lambda: len(history.free) == WORKERS)
        joined = [event.worker for event in history.events if isinstance(event, Joined)]
        assert len(joined) == len(set(joined))

    def test_each_work_ends_in_exactly_one_result_with_its_outputs_and_metrics(self, history: History) -> None:
        for number in range(20):
            history.give(work(number))
        history.until(lambda: len(history.results) >= 20)
        assert sorted(result.work_id for result in history.results) == list(range(20))
        for result in history.results:
            given = history.given[result.work_id, result.attempt]
            assert result.worker == given.worker
            assert result.outputs == {"out": f"{result.work_id}.out"}
            assert result.metrics == {"twice": 2.0 * result.work_id}
            assert result.failure is None

    def test_failed_work_says_its_cause(self, history: History) -> None:
        history.give(work(0, **{"raise": Cause.NON_FINITE.value}))
        history.until(lambda: bool(history.results))
        failure = history.results[0].failure
        assert failure is not None
        assert (failure.cause, failure.message) == (Cause.NON_FINITE, "as asked")

    def test_a_deadline_wakes_with_no_events(self, history: History) -> None:
        history.until(lambda: len(history.free) == WORKERS)
        deadline_s = history.wakes[-1].now_s + 0.01
        wake = history.wait(deadline_s)
        while wake.events:  # the last newcomers, at most
            wake = history.wait(deadline_s)
        assert wake.now_s >= deadline_s

    def test_the_clock_never_falls_and_results_are_stamped_before_they_are_handed_over(self, history: History) -> None:
        for number in range(10):
            history.give(work(number))
        history.until(lambda: len(history.results) >= 10)
        times = [wake.now_s for wake in history.wakes]
        assert times == sorted(times)
        assert all(
            event.received_s <= wake.now_s
            for wake in history.wakes
            for event in wake.events
            if isinstance(event, Result)
        )

    def test_cancelled_work_still_ends_in_exactly_one_result(self, history: History) -> None:
        for number in range(WORKERS):
            history.give(work(number))
        history.pool.cancel(range(WORKERS))
        history.until(lambda: len(history.results) >= WORKERS)
        assert Counter(result.work_id for result in history.results) == dict.fromkeys(range(WORKERS), 1)

    def test_a_new_pool_reports_what_went_with_the_old_one_before_all_else(
        self, history: History, make: Callable[[], Pool]
    ) -> None:
        outstanding = [history.give(work(number), attempt=2) for number in range(2)]
        now_s, present = history.wakes[-1].now_s, sorted(history.free)
        history.pool.close()
        history.pool = make()
        history.pool.reconcile(outstanding, present, wakes_seen=len(history.wakes), now_s=now_s)
        first = history.wait()
        results = [event for event in first.events if isinstance(event, Result)]
        assert [(result.work_id, result.attempt) for result in results] == [(0, 2), (1, 2)]
        assert {result.failure.cause for result in results if result.failure} == {Cause.PREEMPTED}
        assert first.events.index(results[-1]) < min(
            index for index, event in enumerate(first.events) if isinstance(event, Left)
        )
        assert sorted(event.worker for event in first.events if isinstance(event, Left)) == present
        assert first.now_s >= now_s
        history.until(lambda: len(history.free) == WORKERS)


class TestInlinePool(PoolContract):
    @pytest.fixture
    def make(self) -> Callable[[], Pool]:
        return lambda: InlinePool(WORKERS, noop)


class TestVirtualPool(PoolContract):
    @pytest.fixture
    def make(self) -> Callable[[], Pool]:
        return lambda: VirtualPool(WORKERS, noop, seed=7, latency=Latency(ShiftedExponential(0.7)))


class TestFaultyVirtualPool:
    """With crashes, lost and repeated replies the promises hold for each attempt."""

    @pytest.fixture(params=range(5))
    def history(self, request: pytest.FixtureRequest) -> History:
        faults = Faults(crash=0.2, back_s=0.5, lost=0.1, lost_after_s=3.0, duplicate=0.2, slow=0.2)
        return History(
            VirtualPool(WORKERS, noop, seed=request.param, latency=Latency(ShiftedExponential(0.7)), faults=faults)
        )

    def test_each_attempt_is_answered_and_repeats_are_equal(self, history: History) -> None:
        for number in range(60):
            history.give(work(number))
        history.until(lambda: {result.work_id for result in history.results} == set(range(60)))
        answers: dict[int, Sequence[object]] = {}
        for result in history.results:
            said = (result.outputs, result.metrics, result.failure)
            assert answers.setdefault(result.work_id, said) == said

    def test_a_worker_leaves_after_the_failed_results_of_its_work(self, history: History) -> None:
        for number in range(60):
            history.give(work(number))
        history.until(lambda: any(isinstance(event, Left) for event in history.events))
        for wake in history.wakes:
            left: set[str] = set()
            for event in wake.events:
                if isinstance(event, Left):
                    left.add(event.worker)
                elif isinstance(event, Result) and event.failure and event.failure.cause is Cause.LOST_WORKER:
                    assert event.worker not in left


class TestVirtualFaults:
    """Each fault alone, on one worker; work 0 is its first."""

    @staticmethod
    def history(faults: Faults) -> History:
        history = History(VirtualPool(1, noop, faults=faults))
        history.give(work(0))
        return history

    def test_a_worker_that_hangs_is_ended_for_it_and_another_takes_its_place(self) -> None:
        history = self.history(Faults(hang=1.0, lost_after_s=7.0, back_s=2.0))
        history.pool.cancel([0])  # which it does not hear
        history.until(lambda: bool(history.results))
        last = history.wakes[-1]
        (result,) = history.results
        assert (last.now_s, result.failure and result.failure.cause) == (7.0, Cause.TIMEOUT)
        assert last.events == (result, Left("worker-0", Cause.TIMEOUT))
        assert history.wait() == Wake(9.0, (Joined("worker-0"),))

    def test_answers_that_are_not_finite_are_the_failures_of_whom_they_are_of(self) -> None:
        history = self.history(Faults(non_finite=1.0, non_finite_workers=["worker-0"]))
        history.until(lambda: bool(history.results))
        assert [result.failure.cause for result in history.results if result.failure] == [Cause.NON_FINITE]
        others = self.history(Faults(non_finite=1.0, non_finite_workers=["worker-1"]))
        others.until(lambda: bool(others.results))
        assert others.results[0].failure is None

    def test_aggregators_may_die_alone(self) -> None:
        pool = VirtualPool(1, noop, faults=Faults(aggregator_crash=1.0))
        first = pool.wait(None)
        assert len(first.events) == 2
        aggregation = Assignment(work(0)._replace(place=Place(role=AGGREGATOR)), f"{AGGREGATOR}-0", 1)
        pool.submit([aggregation, Assignment(work(1), "worker-0", 1)])
        lost, left = pool.wait(None).events
        assert isinstance(lost, Result)
        assert (lost.work_id, lost.failure and lost.failure.cause) == (0, Cause.LOST_WORKER)
        assert left == Left(f"{AGGREGATOR}-0", Cause.LOST_WORKER)
        (answer,) = pool.wait(None).events
        assert isinstance(answer, Result)
        assert (answer.work_id, answer.failure) == (1, None)
