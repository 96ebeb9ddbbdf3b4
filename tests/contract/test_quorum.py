"""What every registered quorum promises; a new one is tested here by being registered."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.protocols import Quorum
from orchestrator.quorum import QUORUMS, make_quorum
from orchestrator.records import Arrivals, Decision, Evidence, Json, RoundTrip
from tests.unit.quorum.evidences import evidences, histories
from tests.unit.quorum.push_and_wait import Cluster, NoisyQuadratic, shifted_exponential

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

OPTIONS: Mapping[str, Mapping[str, object]] = {"static": {"k": 3}}
"""What a quorum cannot be made without."""


@pytest.fixture(params=sorted(QUORUMS), scope="module")
def quorum(request: pytest.FixtureRequest) -> Quorum:
    return make_quorum(request.param, **OPTIONS.get(request.param, {}))


some = settings(max_examples=40, deadline=None)


def decisions(quorum: Quorum, history: Sequence[Evidence]) -> list[Decision]:
    """One after the other, each with the memory of the one before."""
    memory: Json = None
    made = []
    for evidence in history:
        made.append(quorum.decide(evidence._replace(memory=memory)))
        memory = made[-1].memory
    return made


@some
@given(history=histories)
def test_it_waits_for_one_at_least_and_for_all_present_at_most(quorum: Quorum, history: list[Evidence]) -> None:
    for evidence, decision in zip(history, decisions(quorum, history), strict=True):
        assert type(decision.wait_for) is int
        assert 1 <= decision.wait_for <= evidence.present
        assert decision.deadline_s is None or decision.deadline_s >= evidence.now_s
        assert 1 <= decision.at_least <= decision.wait_for


@some
@given(history=histories)
def test_it_says_why_in_one_line(quorum: Quorum, history: list[Evidence]) -> None:
    for decision in decisions(quorum, history):
        assert decision.why.strip()
        assert "\n" not in decision.why


@some
@given(history=histories)
def test_equal_evidence_gives_an_equal_decision_and_is_left_as_it_was(quorum: Quorum, history: list[Evidence]) -> None:
    before = copy.deepcopy(history)
    assert decisions(quorum, history) == decisions(quorum, before)
    assert repr(history) == repr(before)


@some
@given(history=histories)
def test_its_memory_may_go_through_json_at_any_time(quorum: Quorum, history: list[Evidence]) -> None:
    memory: Json = None
    for evidence, expected in zip(history, decisions(quorum, history), strict=True):
        decision = quorum.decide(evidence._replace(memory=memory))
        assert decision == expected
        memory = json.loads(json.dumps(decision.memory, allow_nan=False))
        assert memory == decision.memory


@some
@given(history=histories)
def test_the_order_of_workers_in_a_mapping_means_nothing(quorum: Quorum, history: list[Evidence]) -> None:
    turned = [
        evidence._replace(
            round_trips=dict(reversed(list(evidence.round_trips.items()))),
            in_flight_s=dict(reversed(list(evidence.in_flight_s.items()))),
        )
        for evidence in history
    ]
    assert decisions(quorum, turned) == decisions(quorum, history)


@some
@given(history=histories, exponent=st.integers(-10, 10))
def test_a_clock_in_other_units_changes_nothing(quorum: Quorum, history: list[Evidence], exponent: int) -> None:
    unit = 2.0**exponent
    scaled = [
        evidence._replace(
            now_s=evidence.now_s * unit,
            round_trips={
                name: [RoundTrip(ended_s * unit, took_s * unit, done) for ended_s, took_s, done in trips]
                for name, trips in evidence.round_trips.items()
            },
            arrivals=[Arrivals(h, [offset * unit for offset in offsets]) for h, offsets in evidence.arrivals],
            in_flight_s={name: elapsed * unit for name, elapsed in evidence.in_flight_s.items()},
        )
        for evidence in history
    ]
    assert [d.wait_for for d in decisions(quorum, scaled)] == [d.wait_for for d in decisions(quorum, history)]


@some
@given(evidence=evidences)
def test_asked_again_in_the_same_round_it_says_the_same(quorum: Quorum, evidence: Evidence) -> None:
    once = quorum.decide(evidence)
    assert quorum.decide(evidence._replace(memory=once.memory)) == once


@some
@given(history=histories, fewer=st.integers(1, 20))
def test_workers_may_leave_and_join_within_a_round(quorum: Quorum, history: list[Evidence], fewer: int) -> None:
    *_, last = decisions(quorum, history)
    for present in (fewer, 1, 500):
        changed = history[-1]._replace(present=present, memory=last.memory)
        assert 1 <= quorum.decide(changed).wait_for <= present


@pytest.mark.parametrize("through_json", [False, True], ids=["in memory", "through snapshots"])
def test_a_run_repeats_itself(quorum: Quorum, through_json: bool) -> None:
    cluster = Cluster(NoisyQuadratic(), shifted_exponential(0.7), learning_rate=0.1, n=8)
    again = Cluster(NoisyQuadratic(), shifted_exponential(0.7), learning_rate=0.1, n=8, through_json=through_json)
    assert list(islice(again.rounds(quorum), 60)) == list(islice(cluster.rounds(quorum), 60))


def test_its_memory_stays_small_however_many_the_workers(quorum: Quorum) -> None:
    cluster = Cluster(NoisyQuadratic(), shifted_exponential(0.7), learning_rate=0.1, n=300)
    memories: list[Json] = []

    class Watched:
        def decide(self, evidence: Evidence) -> Decision:
            decision = quorum.decide(evidence)
            memories.append(decision.memory)
            return decision

    list(islice(cluster.rounds(Watched()), 20))
    assert max(len(json.dumps(memory)) for memory in memories) < 8_000
