"""Successive halving and ASHA: the tables of their papers, and what promotion means."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.searching.rungs import kept, rungs
from orchestrator.searching.score import WORST, ranked, score
from orchestrator.searching.searcher import Checkpoint, Scope, Segment
from orchestrator.searching.searchers import Asha, SuccessiveHalving
from tests.unit.searching.playing import Play, bowl
from tests.unit.searching.spaces import TRAINING

some = settings(max_examples=60, deadline=None)


def scope(trials: int, epochs: float) -> Scope:
    return Scope(TRAINING, 0, trials, epochs)


def next_of(searcher: Asha | SuccessiveHalving) -> Segment:
    segment = searcher.next()
    assert segment is not None
    return segment


def test_rungs_are_exact_powers_and_end_at_the_budget() -> None:
    assert rungs(1, 3, 27) == (1, 3, 9, 27)
    assert rungs(1, 3, 243) == (1, 3, 9, 27, 81, 243)  # log(243) / log(3) floors to 4 in floats
    assert rungs(1, 3, 20) == (1, 3, 9, 20)
    assert rungs(5, 3, 4) == (4,)
    assert rungs(0.1, 10, 1) == (0.1, 1)
    assert len(rungs(1 / 9, 3, 1)) == 3


@some
@given(first=st.floats(0.01, 10), eta=st.floats(1.1, 10), most=st.floats(0.01, 100))
def test_rungs_rise_to_the_budget_and_never_by_more_than_eta(first: float, eta: float, most: float) -> None:
    budgets = rungs(first, eta, most)
    assert budgets[-1] == most
    assert all(low < high <= low * eta * (1 + 1e-8) for low, high in pairwise(budgets))


def test_halving_keeps_the_floor_and_at_least_one() -> None:
    assert [kept(27, 3, rung) for rung in range(5)] == [27, 9, 3, 1, 1]
    assert [kept(26, 3, rung) for rung in range(4)] == [26, 8, 2, 1]
    assert [kept(243, 3, rung) for rung in range(6)] == [243, 81, 27, 9, 3, 1]


def test_a_score_is_higher_for_better_and_finite() -> None:
    assert score(0.5, "max") == 0.5
    assert score(0.5, "min") == -0.5
    for broken in (float("nan"), float("inf"), float("-inf")):
        assert score(broken, "max") == score(broken, "min") == WORST
    assert ranked({3: 1.0, 1: 1.0, 2: 5.0, 0: WORST}) == [2, 1, 3, 0]


@pytest.mark.parametrize("first", [1.0, None])
def test_27_trials_halve_by_3_to_27_9_3_1_and_cost_81_epochs_of_training(first: float | None) -> None:
    play = Play(SuccessiveHalving(scope(27, 27), 3, first), bowl, Random(0)).run()
    assert Counter(segment.end for segment in play.begun) == {1: 27, 3: 9, 9: 3, 27: 1}
    assert sum(segment.end for segment in play.begun) == 108  # if each began from scratch
    assert sum(segment.end - segment.start for segment in play.begun) == 81


@some
@given(trials=st.integers(1, 40), eta=st.sampled_from([2.0, 2.5, 3.0, 4.0]), seed=st.integers(0, 1000))
def test_a_rung_of_halving_goes_on_with_its_best(trials: int, eta: float, seed: int) -> None:
    play = Play(SuccessiveHalving(scope(trials, 27), eta), bowl, Random(seed)).run()
    budgets = sorted({segment.end for segment in play.begun})
    for rung, (budget, further) in enumerate(pairwise(budgets), start=1):
        scores = {place.trial: value for place, value in play.scores.items() if place.epochs == budget}
        went_on = {segment.trial for segment in play.begun if segment.end == further}
        assert went_on == set(ranked(scores)[: kept(trials, eta, rung)])


def test_halving_waits_for_its_rung_and_goes_on_without_what_diverged() -> None:
    searcher = SuccessiveHalving(scope(4, 4), 2, 1)
    for trial in range(4):
        assert next_of(searcher).trial == trial
    assert searcher.next() is None
    searcher.told(0, WORST)
    searcher.told(1, 0.5)
    searcher.failed(2)
    assert searcher.next() is None
    searcher.told(3, WORST)
    segment = next_of(searcher)
    assert (segment.trial, segment.source, segment.end) == (1, Checkpoint(1, 1), 2)
    searcher.told(1, 0.6)
    assert searcher.finished


def test_asha_promotes_nobody_after_two_results_and_exactly_one_after_three() -> None:
    searcher = Asha(scope(9, 9), 3, 1)
    for value in (0.1, 0.3):
        segment = next_of(searcher)
        assert segment.source is None
        searcher.told(segment.trial, value)
    third = next_of(searcher)
    assert (third.trial, third.source) == (2, None)  # nothing was promotable
    searcher.told(2, 0.2)
    promoted, fourth = next_of(searcher), next_of(searcher)
    assert (promoted.trial, promoted.source, promoted.end) == (1, Checkpoint(1, 1), 3)
    assert (fourth.trial, fourth.source) == (3, None)


def test_asha_may_promote_more_than_one_in_eta_in_the_end() -> None:
    searcher = Asha(scope(4, 2), 2, 1)
    assert [next_of(searcher).trial for _ in range(4)] == [0, 1, 2, 3]
    searcher.told(0, 1.0)
    searcher.told(1, 0.0)
    assert next_of(searcher).trial == 0
    searcher.told(2, 2.0)
    searcher.told(3, 3.0)
    assert [next_of(searcher).trial for _ in range(2)] == [3, 2]
    assert searcher.next() is None


@some
@given(
    trials=st.integers(1, 40),
    eta=st.sampled_from([2.0, 3.0, 4.0]),
    seed=st.integers(0, 1000),
    slots=st.integers(1, 8),
    diverge=st.sampled_from([0.0, 0.3]),
)
def test_whoever_asha_promotes_was_then_among_the_best(
    trials: int, eta: float, seed: int, slots: int, diverge: float
) -> None:
    class Watched(Play):
        def check(self, segment: Segment) -> None:
            super().check(segment)
            if segment.source is not None:
                rung = {p.trial: value for p, value in self.scores.items() if p.epochs == segment.source.epochs}
                assert len(rung) >= eta
                assert segment.trial in ranked(rung)[: int(len(rung) / eta)]

    play = Watched(Asha(scope(trials, 9), eta, 1), bowl, Random(seed), slots, diverge).run()
    assert len({(segment.trial, segment.end) for segment in play.begun}) == len(play.begun)
    assert sum(segment.source is None for segment in play.begun) == trials


def test_asha_looks_at_higher_rungs_first() -> None:
    searcher = Asha(scope(100, 4), 2, 1)
    for _ in range(8):
        searcher.told(next_of(searcher).trial, 1.0)
    ends = [next_of(searcher).end for _ in range(3)]
    assert max(ends) == ends[0]


def test_asha_lets_go_of_checkpoints_that_can_never_be_promoted() -> None:
    searcher = Asha(scope(9, 9), 3, 1)
    begun = [next_of(searcher).trial for _ in range(9)]
    for trial in begun:
        searcher.told(trial, float(trial))
    assert set(searcher.needed()) == {Checkpoint(trial, 1) for trial in (6, 7, 8)}
