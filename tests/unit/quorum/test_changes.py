"""Since when a worker is as fast as it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from orchestrator.quorum.changes import since_changes

any_durations = st.lists(
    st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e6)), max_size=40).map(np.array), min_size=1, max_size=6
)


def drawn(spread: float, trips: int, factor: float = 1.0, seed: int = 0, workers: int = 16) -> NDArray[np.float64]:
    """Shape [workers, trips], (1 - spread) + spread·Exp(1), times factor."""
    random = np.random.default_rng(seed)
    return factor * ((1 - spread) + spread * random.exponential(size=(workers, trips)))


@given(any_durations)
def test_it_keeps_one_at_least_and_no_more_than_there_are(durations: list[NDArray[np.float64]]) -> None:
    counts = since_changes(durations)
    for own, count in zip(durations, counts, strict=True):
        assert min(own.size, 1) <= count <= own.size


@given(any_durations, st.integers(-20, 20))
def test_units_mean_nothing(durations: list[NDArray[np.float64]], exponent: int) -> None:
    scaled = [own * 2.0**exponent for own in durations]
    assert since_changes(scaled).tolist() == since_changes(durations).tolist()


@given(st.floats(0.1, 10), st.integers(1, 40))
def test_what_is_always_the_same_has_not_changed(seconds: float, trips: int) -> None:
    assert since_changes([np.full(trips, seconds)] * 3).tolist() == [trips] * 3


@pytest.mark.parametrize("factor", [5.0, 0.2], ids=["slower", "faster"])
def test_one_round_trip_shows_a_change_where_they_vary_little(factor: float) -> None:
    durations = np.hstack([drawn(0.1, 30), drawn(0.1, 1, factor, seed=1)])
    assert since_changes(list(durations)).tolist() == [1] * 16


def test_some_show_it_where_they_vary_much() -> None:
    durations = np.hstack([drawn(0.7, 30), drawn(0.7, 10, 5.0, seed=1)])
    counts = since_changes(list(durations))
    assert np.median(counts) == pytest.approx(10, abs=1)


def test_of_two_changes_the_later_counts() -> None:
    durations = np.hstack([drawn(0.2, 15), drawn(0.2, 10, 5.0, seed=1), drawn(0.2, 5, seed=2)])
    assert np.median(since_changes(list(durations))) == 5


@pytest.mark.parametrize("spread", [0.0, 0.2, 0.7])
def test_where_nothing_changed_nearly_all_is_kept(spread: float) -> None:
    """Of a hundred and sixty windows."""
    counts = np.concatenate([since_changes(list(drawn(spread, 40, seed=seed))) for seed in range(10)])
    assert (counts == 40).mean() >= 0.9


def test_one_very_late_answer_is_forgiven_by_the_next() -> None:
    late = np.append(drawn(0.2, 30, workers=1)[0], [4.0, 1.0])
    assert since_changes([late, *drawn(0.2, 32)]).tolist()[0] == 32
