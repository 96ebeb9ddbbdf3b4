"""What single decisions say."""

from __future__ import annotations

from typing import Any, cast

import pytest

from orchestrator import quorum
from orchestrator.quorum import QUORUMS, AdaSync, Dbw, Dynamic, First, Full, Rate, Static, make_quorum
from orchestrator.records import Arrivals, Evidence, RoundTrip

STEP = {"loss": 1.0, "sum_norm2": 20.0, "norm2": 1.0, "k": 4, "learning_rate": 0.1, "momentum": 0.0}


def evidence(n: int = 4, **changes: Any) -> Evidence:
    """n equally fast workers after a step."""
    trips = {f"w{i}": [RoundTrip(1.0, 1.0, True)] for i in range(n)}
    plain = Evidence(1, 0.0, 2.0, n, n, 1, trips, [Arrivals(0, [1.0] * n)], {}, STEP, None, 0)
    return plain._replace(**changes)


def test_the_simple_ones() -> None:
    assert Full().decide(evidence()) == (4, "all 4 present", None, 1, None)
    assert First().decide(evidence()).wait_for == 1
    assert Static(3).decide(evidence()).why == "static k = 3 of 4 present"
    assert Static(9).decide(evidence()) == (4, "static k = 9, but only 4 present", None, 1, None)


@pytest.mark.parametrize("policy", [Dynamic(), Dbw(), AdaSync()], ids=repr)
def test_without_signals_all_are_waited_for_and_it_says_why(policy: Any) -> None:
    decision = policy.decide(evidence(signals={}))
    assert decision.wait_for == 4
    assert "no statistics yet" in decision.why


def test_rate_needs_a_closed_round_only() -> None:
    assert "no statistics yet" in Rate().decide(evidence(arrivals=[])).why
    assert Rate().decide(evidence(signals={}, arrivals=[Arrivals(0, [1.0, 1.0, 1.0, 9.0])])).wait_for == 3


def test_dynamic_tells_the_numbers_it_decided_by() -> None:
    slow = {f"w{i}": [RoundTrip(1.0, 9.0 if i == 3 else 1.0, True)] for i in range(4)}
    decision = Dynamic().decide(evidence(round_trips=slow))
    assert decision.wait_for == 3
    assert decision.why == (
        "k = 3 of 4: beyond it results/s fall; 1 s a round against 9 s for all, "
        "noise floor 0.0444, loss 1 above the least"
    )


def test_the_first_round_of_dynamic_does_not_wait_for_stragglers_for_ever() -> None:
    first = Dynamic().decide(evidence(8, signals={}, opened_s=1.0, now_s=1.5))
    assert (first.wait_for, first.deadline_s, first.at_least) == (8, 2.0, 4)
    second = Dynamic().decide(evidence(8, signals={}, round=2, memory=first.memory))
    assert (second.wait_for, second.deadline_s) == (8, None)


def test_a_step_is_learnt_from_once() -> None:
    first = Dynamic().decide(evidence())
    again = Dynamic().decide(evidence(memory=first.memory, present=3))
    later = Dynamic().decide(evidence(memory=first.memory, round=5))
    assert [len(cast(Any, decision.memory)["losses"]) for decision in (first, again, later)] == [1, 1, 2]


def test_a_step_that_blew_up_is_not_learnt_from() -> None:
    first = Dynamic().decide(evidence())
    blown = Dynamic().decide(evidence(memory=first.memory, round=2, signals=STEP | {"norm2": float("nan")}))
    assert blown.wait_for == first.wait_for
    assert cast(Any, blown.memory)["losses"] == cast(Any, first.memory)["losses"]


def test_times_are_refreshed_every_fourth_round_and_when_the_number_of_workers_changed() -> None:
    def times(decision: Any) -> Any:
        return cast(Any, decision.memory)["times"]["seconds"]

    slower = {f"w{i}": [RoundTrip(3.0, 2.0, True)] for i in range(5)}
    slowest = {f"w{i}": [RoundTrip(3.0, 4.0, True)] for i in range(6)}
    decision = Dynamic().decide(evidence())
    for round_ in (2, 3, 4):
        decision = Dynamic().decide(evidence(memory=decision.memory, round=round_, round_trips=slower))
        assert times(decision) == [1.0] * 4
    fifth = Dynamic().decide(evidence(memory=decision.memory, round=5, round_trips=slower))
    assert times(fifth) == [2.0] * 4
    joined = Dynamic().decide(evidence(5, memory=decision.memory, round=4, round_trips=slower))
    assert times(joined) == [2.0] * 5
    another = Dynamic().decide(evidence(6, memory=joined.memory, round=4, round_trips=slowest))
    assert set(times(another)) == {2.0}  # once a round at most, however many join in it
    next_round = Dynamic().decide(evidence(6, memory=joined.memory, round=5, round_trips=slowest))
    assert times(next_round) == [4.0] * 6


def test_a_known_loss_floor_makes_it_wait_for_more() -> None:
    trips = {f"w{i}": [RoundTrip(1.0, 1.0 + 0.1 * i, True)] for i in range(16)}
    noisy = STEP | {"sum_norm2": 40.0, "learning_rate": 0.5}
    few = Dynamic().decide(evidence(16, round_trips=trips, signals=noisy | {"loss": 5.0}))
    more = Dynamic(loss_floor=4.0).decide(evidence(16, round_trips=trips, signals=noisy | {"loss": 5.0}))
    assert few.wait_for < more.wait_for


def test_dbw_waits_for_one_more_when_the_loss_rose() -> None:
    policy = Dbw()
    uneven = [Arrivals(4, [0.1, 5.0, 5.0, 5.0])] * 3
    steps = [STEP | {"loss": 1.0, "k": 1, "change_norm2": 0.01, "norm2": 1.0}] * 3
    memory = None
    for number, step in enumerate(steps):
        decision = policy.decide(
            evidence(round=number, memory=memory, signals=step | {"loss": 1 - 0.09 * number}, arrivals=uneven)
        )
        memory = decision.memory
    rose = policy.decide(evidence(round=3, memory=memory, signals=steps[0] | {"loss": 0.9}, arrivals=uneven))
    assert decision.wait_for == 1
    assert rose.wait_for >= 2


def test_adasync_waits_for_all_when_a_loss_is_not_positive() -> None:
    decision = AdaSync().decide(evidence(signals={"loss": -1.0}))
    assert decision.wait_for == 4
    assert "positive losses" in decision.why


def test_every_quorum_is_made_by_its_name() -> None:
    for name, made in QUORUMS.items():
        options = {"k": 2} if name == "static" else {}
        assert make_quorum(name, **options) == made(**options)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("dinamic", {}, "'dinamic' is not a quorum; allowed: full, static, dynamic, dbw, rate, adasync, first"),
        ("static", {}, "quorum 'static' with {}: missing a required argument: 'k'; its options: k"),
        ("static", {"k": 0}, "static waits for k >= 1 results, not k = 0"),
        ("full", {"k": 3}, "quorum 'full' with {'k': 3}: got an unexpected keyword argument 'k'; its options: none"),
        ("adasync", {"k0": 0}, "adasync starts with k0 >= 1 results, not k0 = 0"),
        ("dynamic", {"loss_floor": float("nan")}, "dynamic needs a finite loss_floor, not nan"),
        ("dbw", {"curvature": "hessian"}, "dbw knows curvature: losses or steps, not 'hessian'"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence(name: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        make_quorum(name, **options)
    assert str(refused.value) == sentence


def test_all_that_is_exported_is_there() -> None:
    assert all(hasattr(quorum, name) for name in quorum.__all__)
    assert {made.__name__ for made in QUORUMS.values()} < set(quorum.__all__)
