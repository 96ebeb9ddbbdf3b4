"""TPE: it finds what chance does not, and is nothing but its history."""

from __future__ import annotations

from random import Random
from statistics import median

from orchestrator.searching.declaration import read_space
from orchestrator.searching.score import WORST
from orchestrator.searching.searcher import Scope
from orchestrator.searching.searchers import RandomSearch, Tpe
from orchestrator.searching.searchers.tpe import BEST, NEWEST
from orchestrator.searching.space import Config
from tests.unit.searching.playing import Play, bowl, copied, written
from tests.unit.searching.spaces import TRAINING

BOWL, NO_FAULTS = read_space(
    {
        "x": {"float": [-5, 5]},
        "lr": {"log": [1e-5, 1.0]},
        "kind": {"choice": {"good": {"y": {"int": [-20, 20]}}, "bad": {}}},
    }
)


def toy(config: Config, epochs: float) -> float:
    """Best, 0, at x = 1, y = 7."""
    x, y = float(str(config["x"])), float(str(config.get("y", -20)))
    return -((x - 1) ** 2) - ((y - 7) / 5) ** 2 - (config["kind"] == "bad")


def test_in_the_median_of_seeds_it_beats_random_search() -> None:
    found = {
        searcher: [Play(searcher(Scope(BOWL, seed, 60, 1.0)), toy, Random(seed)).run().best() for seed in range(7)]
        for searcher in (Tpe, RandomSearch)
    }
    assert median(found[Tpe]) > median(found[RandomSearch])


def test_out_of_its_state_it_draws_the_same() -> None:
    scope = Scope(TRAINING, 3, 40, 1.0)
    play = Play(Tpe(scope), bowl, Random(1))
    for _ in range(20):
        play.step()
    again = copied(play.searcher, lambda: Tpe(scope))
    for _ in range(4):
        assert again.next() == play.searcher.next()
    assert written(again) == written(play.searcher)


def test_trials_that_run_are_not_drawn_again() -> None:
    play = Play(Tpe(Scope(BOWL, 0, 60, 1.0)), toy, Random(0), slots=1)
    for _ in range(30):
        play.step()
    begun = [play.searcher.next() for _ in range(8)]
    drawn = {repr(segment.config) for segment in begun if segment is not None}
    assert len(drawn) == 8


def test_a_history_of_nothing_but_diverged_trials_can_be_drawn_from() -> None:
    searcher = Tpe(Scope(TRAINING, 0, 30, 1.0), startup=2)
    for trial in range(30):
        assert searcher.next() is not None
        searcher.told(trial, WORST)
    assert searcher.finished


def test_a_draw_looks_at_a_bounded_part_of_the_history() -> None:
    searcher = Tpe(Scope(TRAINING, 0, 2000, 1.0), startup=1990)
    for trial in range(1990):
        searcher.next()
        searcher.told(trial, float(trial % 100))
    assert len(searcher._looked_at()) <= BEST + NEWEST
    assert searcher.next() is not None
