"""What every registered searcher promises; a new one is tested here by being registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.searching.searcher import Scope, Searcher
from orchestrator.searching.searchers import SEARCHERS
from orchestrator.searching.space import Space
from tests.unit.searching.playing import Play, bowl, copied, written
from tests.unit.searching.spaces import TRAINING, spaces

Make: TypeAlias = Callable[[Scope], Searcher]

some = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32)
scopes = st.builds(Scope, st.just(TRAINING), seeds, st.integers(1, 14), st.sampled_from([0.5, 1.0, 9.0]))
rough = {"slots": st.integers(1, 5), "diverge": st.sampled_from([0.0, 0.4]), "fail": st.sampled_from([0.0, 0.3])}


@pytest.fixture(params=sorted(SEARCHERS), scope="module")
def make(request: pytest.FixtureRequest) -> Make:
    searcher: Make = SEARCHERS[request.param]
    return searcher


@some
@given(scope=scopes, seed=seeds, **rough)
def test_any_order_of_results_ends_and_no_trial_runs_twice_at_once(
    make: Make, scope: Scope, seed: int, slots: int, diverge: float, fail: float
) -> None:
    play = Play(make(scope), bowl, Random(seed), slots, diverge, fail).run()
    assert play.searcher.finished
    assert play.searcher.next() is None
    assert not list(play.searcher.needed())
    assert len({segment.trial for segment in play.begun}) == scope.trials


@some
@given(scope=scopes, seed=seeds, **rough)
def test_budgets_and_trials_stay_within_the_scope(
    make: Make, scope: Scope, seed: int, slots: int, diverge: float, fail: float
) -> None:
    play = Play(make(scope), bowl, Random(seed), slots, diverge, fail).run()
    assert all(0 < segment.end <= scope.epochs for segment in play.begun)
    assert all(0 <= segment.trial < scope.trials for segment in play.begun)


@some
@given(scope=scopes, space=spaces, seed=seeds, diverge=rough["diverge"])
def test_every_config_lies_in_the_space(make: Make, scope: Scope, space: Space, seed: int, diverge: float) -> None:
    play = Play(make(replace(scope, space=space)), lambda config, epochs: epochs, Random(seed), 3, diverge).run()
    assert all(segment.config in space for segment in play.begun)


@some
@given(scope=scopes, seed=seeds, at=st.integers(0, 30), **rough)
def test_a_searcher_out_of_its_state_has_the_same_future(
    make: Make, scope: Scope, seed: int, at: int, slots: int, diverge: float, fail: float
) -> None:
    whole = Play(make(scope), bowl, Random(seed), slots, diverge, fail)
    resumed = Play(make(scope), bowl, Random(seed), slots, diverge, fail)
    for _ in range(at):
        resumed.step()
    resumed.searcher = copied(resumed.searcher, lambda: make(scope))
    assert resumed.run().begun == whole.run().begun
    assert written(resumed.searcher) == written(whole.searcher)


@some
@given(scope=scopes, seed=seeds)
def test_while_something_runs_or_is_left_to_do_it_is_not_finished(make: Make, scope: Scope, seed: int) -> None:
    play = Play(make(scope), bowl, Random(seed), slots=2)
    while play.step():
        if play.running:
            assert not play.searcher.finished


@some
@given(scope=scopes)
def test_with_every_trial_diverging_or_failing_it_ends_too(make: Make, scope: Scope) -> None:
    assert Play(make(scope), bowl, Random(0), diverge=1.0).run().searcher.finished
    assert Play(make(scope), bowl, Random(0), fail=1.0).run().searcher.finished


def test_the_best_trial_is_trained_for_the_whole_budget(make: Make) -> None:
    play = Play(make(Scope(TRAINING, 3, 27, 9.0)), bowl, Random(0)).run()
    best = max(play.scores, key=lambda checkpoint: play.scores[checkpoint])
    assert best.epochs == 9.0
