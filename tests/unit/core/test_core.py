"""A few events, and the instructions that the core must give."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import pytest

from orchestrator.core import Core
from orchestrator.errors import RunFailed
from orchestrator.protocols import Idle
from orchestrator.records import (
    AGGREGATOR,
    Actions,
    Cause,
    Counts,
    Decision,
    Evidence,
    Failure,
    Joined,
    Json,
    Late,
    Left,
    Place,
    Ref,
    Result,
    Row,
    Told,
    Wake,
    Work,
)


class Script:
    """Asks what it is given, when it is given; remembers what it was told."""

    def __init__(self, *works: Work) -> None:
        self.to_ask = list(works)
        self.told: list[Told] = []
        self.finished = False
        self.model = None
        self.pinned = False

    def ask(self, idle: Idle) -> Sequence[Work]:
        works, self.to_ask = self.to_ask, []
        self.pinned |= any(work.place.worker for work in works)
        return works

    def may_ask(self, worker: str) -> bool:
        return self.pinned

    def tell(self, results: Sequence[Told]) -> Sequence[Row]:
        self.told.extend(results)
        return ()

    @property
    def signals(self) -> Mapping[str, float]:
        return {}

    def held(self) -> Iterable[Ref]:
        return ()

    def state_dict(self) -> Json:
        return None

    def load_state_dict(self, state: Json) -> None:
        pass


class WaitFor:
    """k of those present, at most; remembers the evidence."""

    def __init__(self, k: int, deadline_s: float | None = None, at_least: int = 1) -> None:
        self.k, self.deadline_s, self.at_least = k, deadline_s, at_least
        self.seen: list[Evidence] = []

    def decide(self, evidence: Evidence) -> Decision:
        self.seen.append(evidence)
        return Decision(min(self.k, evidence.present), "as told", self.deadline_s, self.at_least)


def gradient(number: int, worker: str = "", *, round_: int = 0, late: Late = Late.DROP) -> Work:
    return Work(number, round_, "gradient", {}, {}, Place(worker), late=late)


def answer(number: int, worker: str, at_s: float = 1.0, *, attempt: int = 1, failure: Failure | None = None) -> Result:
    outputs = {} if failure else {"gradient": Ref(f"{number}.gradient")}
    return Result(number, attempt, worker, outputs, {}, 0.5, at_s, failure)


def failing(cause: Cause, message: str = "no") -> Failure:
    return Failure(cause, message, "Traceback: user code" if cause is Cause.USER_ERROR else "")


class Stage:
    """A core with workers a, b, c, … and one aggregator, and a clock of whole seconds."""

    def __init__(self, strategy: Script, quorum: WaitFor, workers: str = "abcd", min_workers: int = 1) -> None:
        self.strategy, self.quorum = strategy, quorum
        self.core = Core(strategy, quorum, min_workers=min_workers, patience_s=10)
        self.now_s = 0.0
        self.first = self.wake(*(Joined(worker) for worker in workers), Joined("agg", role=AGGREGATOR))

    def wake(self, *events: Result | Joined | Left) -> Actions:
        actions = self.core.handle(Wake(self.now_s, events))
        self.now_s += 1.0
        return actions

    def told(self) -> list[int]:
        return [told.work.id for told in self.strategy.told]


def given(actions: Actions) -> list[tuple[int, str, int]]:
    return [(item.work.id, item.worker, item.attempt) for item in actions.submit]


def test_pinned_work_goes_to_its_worker_and_the_rest_in_order_of_ask() -> None:
    stage = Stage(Script(gradient(0, "c"), gradient(1), gradient(2, "a"), gradient(3)), WaitFor(4))
    assert sorted(given(stage.first)) == [(0, "c", 1), (1, "b", 1), (2, "a", 1), (3, "d", 1)]


def test_work_waits_for_a_free_slot() -> None:
    stage = Stage(Script(*(gradient(number) for number in range(3))), WaitFor(9), workers="ab")
    assert given(stage.first) == [(0, "a", 1), (1, "b", 1)]
    assert given(stage.wake(answer(1, "b"))) == [(2, "b", 1)]


def test_results_are_told_together_when_the_quorum_is_there_in_order_of_arrival() -> None:
    stage = Stage(Script(*(gradient(number, worker) for number, worker in enumerate("abcd"))), WaitFor(3))
    stage.wake(answer(3, "d"))
    stage.wake(answer(0, "a"))
    assert stage.told() == []
    assert stage.core.held() == {"3.gradient", "0.gradient"}
    actions = stage.wake(answer(2, "c"))
    assert stage.told() == [3, 0, 2]
    closed = actions.closed[0]
    assert (closed.wait_for, closed.eligible, closed.present, closed.arrived) == (3, 4, 4, 3)


@pytest.mark.parametrize(("late", "told"), [(Late.DROP, [0]), (Late.KEEP, [0, 1])])
def test_a_late_result_is_told_only_if_it_is_to_be_kept_but_always_timed(late: Late, told: list[int]) -> None:
    stage = Stage(Script(gradient(0, "a"), gradient(1, "b", late=late)), WaitFor(1), workers="ab")
    stage.wake(answer(0, "a"))
    stage.strategy.to_ask = [gradient(2, "a", round_=1)]
    stage.wake(answer(1, "b", 2.0))
    assert stage.told() == told
    stage.strategy.finished = True
    stage.wake(answer(2, "a", 3.0))
    evidence = stage.quorum.seen[-1]
    assert [trip.duration_s for trip in evidence.round_trips["b"]] == [2.0]
    assert evidence.arrivals[0].offsets_s == [1.0, 2.0]


def test_late_work_to_be_interrupted_is_cancelled_and_told_to_nobody() -> None:
    stage = Stage(Script(gradient(0, "a"), gradient(1, "b", late=Late.INTERRUPT)), WaitFor(1), workers="ab")
    assert stage.wake(answer(0, "a")).cancel == [1]
    stage.strategy.to_ask = [gradient(2, "a", round_=1)]
    stage.wake(answer(1, "b", failure=failing(Cause.CANCELLED)))
    assert stage.told() == [0]


def test_repeats_and_replies_of_superseded_attempts_change_nothing() -> None:
    stage = Stage(Script(gradient(0), gradient(1)), WaitFor(2), workers="abc")
    assert given(stage.wake(answer(0, "a", failure=failing(Cause.LOST_WORKER)))) == [(0, "c", 2)]
    stage.wake(answer(0, "a"))
    assert stage.core.repeats == 1
    stage.strategy.to_ask = [gradient(2, round_=1)]
    stage.wake(answer(0, "c", attempt=2), answer(1, "b"))
    stage.wake(answer(1, "b"), answer(0, "c", attempt=2))
    assert stage.told() == [0, 1]
    assert stage.core.repeats == 3


def test_lost_work_is_tried_three_times_elsewhere_then_told_as_failed() -> None:
    stage = Stage(Script(gradient(0)), WaitFor(1), workers="ab")
    assert given(stage.wake(answer(0, "a", failure=failing(Cause.LOST_WORKER)))) == [(0, "b", 2)]
    assert given(stage.wake(answer(0, "b", attempt=2, failure=failing(Cause.LOST_WORKER)))) == [(0, "a", 3)]
    stage.strategy.to_ask = [gradient(1)]
    stage.wake(answer(0, "a", attempt=3, failure=failing(Cause.LOST_WORKER)))
    assert stage.strategy.told[0].result.failure == failing(Cause.LOST_WORKER)


def test_preempted_work_is_tried_without_limit() -> None:
    stage = Stage(Script(gradient(0)), WaitFor(1), workers="ab")
    for attempt in range(1, 30):
        worker = "ab"[(attempt - 1) % 2]
        actions = stage.wake(answer(0, worker, attempt=attempt, failure=failing(Cause.PREEMPTED)))
        assert given(actions) == [(0, "ab"[attempt % 2], attempt + 1)]


@pytest.mark.parametrize("cause", [Cause.LOST_WORKER, Cause.PREEMPTED, Cause.USER_ERROR])
def test_pinned_work_cannot_go_elsewhere_and_is_told_as_failed_at_once(cause: Cause) -> None:
    stage = Stage(Script(gradient(0, "a"), gradient(1, "b")), WaitFor(2), workers="ab")
    stage.wake(answer(0, "a", failure=failing(cause)))
    assert [told.result.failure for told in stage.strategy.told] == [failing(cause)]


def test_work_pinned_to_a_worker_that_left_fails_at_once() -> None:
    stage = Stage(Script(gradient(0, "b"), gradient(1, "b")), WaitFor(2), workers="ab")
    stage.strategy.to_ask = [gradient(2, "b"), gradient(3, "a")]
    stage.wake(answer(0, "b", failure=failing(Cause.LOST_WORKER)), Left("b", Cause.LOST_WORKER), Joined("c"))
    assert [told.work.id for told in stage.strategy.told if told.result.failure] == [0, 1, 2]


def test_the_same_exception_on_a_second_worker_ends_the_run_with_the_traceback_first() -> None:
    stage = Stage(Script(gradient(0), gradient(1)), WaitFor(2))
    assert given(stage.wake(answer(0, "a", failure=failing(Cause.USER_ERROR)))) == [(0, "c", 2)]
    stage.wake(answer(1, "b"))
    with pytest.raises(RunFailed, match="on two workers") as caught:
        stage.wake(answer(0, "c", attempt=2, failure=failing(Cause.USER_ERROR)))
    assert str(caught.value).startswith("Traceback: user code")


def test_nan_from_one_worker_is_rejected_and_from_every_worker_ends_the_run() -> None:
    stage = Stage(Script(gradient(0, "a"), gradient(1, "b")), WaitFor(2), workers="ab")
    stage.wake(answer(0, "a", failure=failing(Cause.NON_FINITE)))
    with pytest.raises(RunFailed, match="NaN"):
        stage.wake(answer(1, "b", failure=failing(Cause.NON_FINITE)))


def test_a_round_closes_below_what_it_waits_for_when_nobody_can_still_be_asked() -> None:
    stage = Stage(Script(gradient(0, "a"), gradient(1, "b")), WaitFor(2), workers="ab")
    stage.wake(answer(0, "a"))
    stage.strategy.finished = True
    stage.wake(answer(1, "b", failure=failing(Cause.LOST_WORKER)), Left("b", Cause.LOST_WORKER), Joined("e"))
    assert [told.work.id for told in stage.strategy.told if not told.result.failure] == [0]


def test_a_round_closes_at_its_deadline_with_the_least_it_needs() -> None:
    works = [gradient(number, worker) for number, worker in enumerate("abc")]
    stage = Stage(Script(*works), WaitFor(3, deadline_s=3.5, at_least=2), workers="abc")
    stage.wake(answer(0, "a"))
    assert stage.core.deadline_s == 3.5
    stage.now_s = 4.0
    stage.wake()
    assert stage.told() == []
    stage.wake(answer(2, "c", 5.0))
    assert stage.told() == [0, 2]


def test_below_the_minimum_no_round_closes_and_patience_is_bounded() -> None:
    stage = Stage(Script(gradient(0, "a"), gradient(1, "b")), WaitFor(1), workers="ab", min_workers=2)
    actions = stage.wake(answer(1, "b", failure=failing(Cause.LOST_WORKER)), Left("b", Cause.LOST_WORKER))
    assert actions.waiting == "1 of at least 2 workers are connected"
    stage.wake(answer(0, "a"))
    assert [told.work.id for told in stage.strategy.told if not told.result.failure] == []
    assert stage.core.deadline_s == 11.0
    stage.now_s = 11.0
    with pytest.raises(RunFailed, match="for 10 s"):
        stage.wake()


def test_the_first_round_waits_for_all_that_are_expected_but_not_for_ever() -> None:
    strategy = Script(gradient(0, "a"))
    core = Core(strategy, WaitFor(1), patience_s=100, workers=2)
    core.handle(Wake(0.0, (Joined("a"), Joined("agg", role=AGGREGATOR))))
    assert core.handle(Wake(1.0, (answer(0, "a"),))).waiting == "1 of at least 2 workers are connected"
    assert strategy.told == []
    assert core.deadline_s == 30.0
    strategy.finished = True
    core.handle(Wake(30.0, ()))
    assert [told.work.id for told in strategy.told] == [0]


def test_once_all_have_been_there_a_loss_holds_nothing_up() -> None:
    strategy = Script(gradient(0, "a"), gradient(1, "b"))
    core = Core(strategy, WaitFor(1), patience_s=100, workers=2)
    core.handle(Wake(0.0, (Joined("a"), Joined("b"), Joined("agg", role=AGGREGATOR))))
    lost = answer(1, "b", failure=failing(Cause.LOST_WORKER))
    assert core.handle(Wake(1.0, (lost, Left("b", Cause.LOST_WORKER)))).waiting == ""
    strategy.finished = True
    core.handle(Wake(2.0, (answer(0, "a"),)))
    assert [told.work.id for told in strategy.told] == [1, 0]


def test_the_round_goes_on_when_the_missing_worker_is_back() -> None:
    stage = Stage(Script(gradient(0, "a"), gradient(1, "b")), WaitFor(1), workers="ab", min_workers=2)
    stage.wake(answer(1, "b", failure=failing(Cause.LOST_WORKER)), Left("b", Cause.LOST_WORKER))
    stage.wake(answer(0, "a"))
    stage.strategy.to_ask = [gradient(2, "b", round_=1)]
    actions = stage.wake(Joined("b"))
    assert actions.waiting == ""
    assert [told.work.id for told in stage.strategy.told if not told.result.failure] == [0]


def test_required_work_is_told_at_once_and_its_round_closes_after_it() -> None:
    stage = Stage(Script(gradient(0, "a")), WaitFor(1), workers="a")
    stage.strategy.to_ask = [
        Work(1, 0, "aggregate", {}, {}, Place(role=AGGREGATOR), Counts.REQUIRED),
    ]
    assert given(stage.wake()) == [(1, "agg", 1)]
    assert stage.wake(answer(0, "a")).closed == []
    assert stage.told() == [0]
    stage.strategy.to_ask = [gradient(2, "a", round_=1)]
    closed = stage.wake(answer(1, "agg")).closed[0]
    assert (closed.round, closed.met_s, closed.closed_s) == (0, 2.0, 3.0)


def test_required_work_that_fails_for_good_ends_the_run() -> None:
    aggregate = Work(0, 0, "aggregate", {}, {}, Place(role=AGGREGATOR), Counts.REQUIRED)
    stage = Stage(Script(aggregate), WaitFor(1))
    assert given(stage.wake(answer(0, "agg", failure=failing(Cause.BAD_REPLY)))) == [(0, "agg", 2)]
    with pytest.raises(RunFailed, match="aggregate 0 failed for good"):
        stage.wake(answer(0, "agg", attempt=2, failure=failing(Cause.BAD_REPLY)))


def test_a_strategy_that_asks_for_nothing_ends_with_the_story_and_does_not_hang() -> None:
    stage = Stage(Script(gradient(0, "a")), WaitFor(1), workers="a")
    with pytest.raises(RunFailed, match="nothing is outstanding") as caught:
        stage.wake(answer(0, "a"))
    assert "decided 0 1 1 as told" in str(caught.value)


def test_a_busy_worker_counts_as_present_for_it_will_be_asked_yet() -> None:
    stage = Stage(Script(gradient(0, "a"), gradient(1, "b")), WaitFor(1), workers="ab")
    stage.strategy.to_ask = [gradient(2, "a", round_=1)]
    stage.wake()
    stage.wake(answer(0, "a"))
    stage.wake(answer(2, "a"))
    evidence = stage.quorum.seen[-1]
    assert (evidence.round, evidence.present, evidence.arrived) == (1, 2, 1)
    assert evidence.in_flight_s["b"] == 3.0


def test_a_state_of_every_kind_survives_json() -> None:
    works = [gradient(0, "a"), gradient(1, "b"), gradient(2, "a"), gradient(3), gradient(4), gradient(5)]
    stage = Stage(Script(*works), WaitFor(2), workers="abc")
    stage.wake(answer(1, "b", failure=failing(Cause.NON_FINITE)))
    stage.wake(answer(0, "a"))
    state = json.loads(json.dumps(stage.core.state_dict()))
    other = Core(Script(), WaitFor(2), patience_s=10)
    other.load_state_dict(state)
    assert json.loads(json.dumps(other.state_dict())) == state
    assert other.outstanding == stage.core.outstanding
    assert other.held() == stage.core.held()


def test_a_busy_worker_that_may_not_be_asked_does_not_count_as_present() -> None:
    """As where the clients of a round are all asked at once: nobody else will answer, however busy."""
    stage = Stage(Script(gradient(0), gradient(1), gradient(2, round_=1), gradient(3, round_=1)), WaitFor(9))
    stage.wake(answer(0, "a"))
    stage.wake(answer(1, "b"))
    assert [evidence.present for evidence in stage.quorum.seen] == [2]
    assert stage.told() == [0, 1]


def test_of_a_wake_only_outputs_of_lasting_work_that_is_out_are_lasting() -> None:
    stage = Stage(Script(gradient(0)._replace(lasting=True), gradient(1), gradient(2)), WaitFor(9))
    repeated = answer(0, "a", attempt=2)
    wake = Wake(1.0, (answer(0, "a"), answer(1, "b"), repeated, answer(7, "a")))
    assert stage.core.lasting(wake) == ["0.gradient"]
    stage.core.handle(wake)
    assert stage.core.lasting(wake) == []
