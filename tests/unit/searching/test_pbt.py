"""Population-based training: who takes over from whom, and what becomes of the settings."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.searching.declaration import read_space
from orchestrator.searching.perturb import perturbed
from orchestrator.searching.score import WORST
from orchestrator.searching.searcher import Checkpoint, Scope, Segment
from orchestrator.searching.searchers import Pbt
from orchestrator.searching.space import Choice, Config, Float, Int, Space
from tests.unit.searching.playing import Play, bowl
from tests.unit.searching.spaces import TRAINING, spaces

some = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32)

NUMBERS, NO_FAULTS = read_space(
    {"lr": {"log": [0.001, 1.0]}, "batch": {"int": [1, 512]}, "size": {"choice": [1, 2, 4, 8]}}
)


@some
@given(space=spaces, seed=seeds, resample=st.floats(0, 1))
def test_a_varied_config_lies_in_the_space(space: Space, seed: int, resample: float) -> None:
    random = Random(seed)
    assert perturbed(space, space.sample(random), resample, random) in space


@some
@given(seed=seeds)
def test_without_resampling_numbers_go_to_four_or_six_fifths_and_options_to_a_neighbour(seed: int) -> None:
    random = Random(seed)
    config: Config = {"lr": 0.1, "batch": 100, "size": 2}
    moved = perturbed(NUMBERS, config, 0.0, random)
    assert moved["lr"] == pytest.approx(0.08) or moved["lr"] == pytest.approx(0.12)
    assert moved["batch"] in (80, 120)
    assert moved["size"] in (1, 4)
    ends = perturbed(NUMBERS, {"lr": 1.0, "batch": 512, "size": 8}, 0.0, random)
    assert ends["lr"] in (0.8, 1.0)
    assert ends["batch"] in (410, 512)
    assert ends["size"] in (4, 8)


@some
@given(value=st.integers(1, 6), low=st.integers(0, 1), seed=seeds)
def test_a_small_whole_number_is_neither_stuck_nor_truncated(value: int, low: int, seed: int) -> None:
    space = read_space({"n": {"int": [low, 100]}})[0]
    moved = {perturbed(space, {"n": value}, 0.0, Random(seed + i))["n"] for i in range(20)}
    assert moved == {max(value - 1, low), value + 1}


def test_resampling_draws_from_the_whole_range() -> None:
    random = Random(0)
    drawn = [perturbed(NUMBERS, {"lr": 0.001, "batch": 1, "size": 1}, 1.0, random) for _ in range(200)]
    assert {config["size"] for config in drawn} == {1, 2, 4, 8}
    assert max(float(str(config["lr"])) for config in drawn) > 0.5


def test_a_choice_that_moves_brings_the_parameters_of_its_new_option() -> None:
    config = {
        "model.width": 16,
        "optimizer.lr": 0.1,
        "batch_size": 64,
        "optimizer.name": "sgd",
        "optimizer.momentum": 0.5,
    }
    moved = [perturbed(TRAINING, config, 0.0, Random(seed)) for seed in range(20)]
    assert any("optimizer.weight_decay" in other for other in moved)
    assert all(other in TRAINING for other in moved)


def population(size: int, quantile: float = 0.25) -> Pbt:
    return Pbt(Scope(NUMBERS, 5, size, 4.0), 1.0, quantile)


def turn(searcher: Pbt) -> list[Segment]:
    """A segment for everybody, all begun before any ends."""
    return [segment for segment in iter(searcher.next, None) if segment is not None]


def test_the_worst_quarter_takes_over_weights_and_settings_of_the_best_quarter() -> None:
    searcher = population(8)
    first = turn(searcher)
    assert [(segment.trial, segment.source, segment.end) for segment in first] == [(n, None, 1.0) for n in range(8)]
    for segment in first:
        searcher.told(segment.trial, float(segment.trial))
    second = {segment.trial: segment for segment in turn(searcher)}
    for trial in range(2, 8):
        assert second[trial].source == Checkpoint(trial, 1.0)
        assert second[trial].config == first[trial].config
    for trial in (0, 1):
        source = second[trial].source
        assert source in (Checkpoint(6, 1.0), Checkpoint(7, 1.0))
        assert source is not None
        donor = first[source.trial].config
        lr, theirs = second[trial].config["lr"], donor["lr"]
        assert isinstance(lr, float)
        assert isinstance(theirs, float)
        assert 0.001 <= lr <= 1.0
        assert second[trial].config != first[trial].config
    assert {segment.end for segment in second.values()} == {2.0}


def test_with_quantile_zero_nobody_ever_takes_over() -> None:
    play = Play(population(8, 0.0), bowl, Random(0)).run()
    assert all(segment.source is None or segment.source.trial == segment.trial for segment in play.begun)
    assert len(play.begun) == 8 * 4


@some
@given(size=st.integers(1, 12), seed=seeds, slots=st.integers(1, 12))
def test_every_member_trains_to_the_end_and_the_upper_part_never_changes(size: int, seed: int, slots: int) -> None:
    class Watched(Play):
        def check(self, segment: Segment) -> None:
            super().check(segment)
            if segment.source is None:
                return
            latest = {place.trial: value for place, value in self.scores.items()}  # of each, the last that was told
            below = sum(value < latest[segment.trial] for value in latest.values())
            if below >= len(latest) // 2:
                assert segment.source.trial == segment.trial

    play = Watched(population(size), bowl, Random(seed), slots).run()
    ends = {segment.trial: segment.end for segment in play.begun}
    assert ends == dict.fromkeys(range(size), 4.0)


def test_a_member_that_diverged_takes_over_from_a_healthy_one_or_begins_anew() -> None:
    searcher = population(4, 0.0)
    for segment in turn(searcher):
        searcher.told(segment.trial, 1.0 if segment.trial == 2 else WORST)
    assert {segment.source for segment in turn(searcher)} == {Checkpoint(2, 1.0)}
    searcher = population(3)
    for segment in turn(searcher):
        searcher.told(segment.trial, WORST)
    again = turn(searcher)
    assert [(segment.source, segment.end) for segment in again] == [(None, 2.0)] * 3


def test_a_member_that_takes_over_from_one_with_fewer_epochs_trains_those_too() -> None:
    searcher = population(4)
    segments = turn(searcher)
    for value, segment in enumerate(segments[:3]):
        searcher.told(segment.trial, float(value))
    for segment in turn(searcher)[:1]:
        assert segment.trial == 0
        searcher.told(0, -1.0)
    searcher.told(3, 9.0)
    segment = next(segment for segment in turn(searcher) if segment.trial == 0)
    assert segment.source == Checkpoint(3, 1.0)
    assert segment.end == 3.0


def test_a_member_whose_segments_always_fail_is_given_up() -> None:
    play = Play(population(4), bowl, Random(0), fail=1.0).run()
    assert len(play.begun) == 4 * 3


def test_kinds_of_ranges_move_in_their_own_way() -> None:
    assert not NO_FAULTS
    kinds = [type(parameter.domain) for parameter in NUMBERS.parameters]
    assert kinds == [Float, Int, Choice]
