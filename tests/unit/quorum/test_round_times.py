"""T(k) as a value."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.quorum.round_times import RoundTimes

any_times = st.lists(st.floats(0, 1e300), min_size=1, max_size=20).map(
    lambda seconds: RoundTimes.rising(range(1, len(seconds) + 1), seconds)
)


@given(any_times)
def test_it_never_falls_and_is_never_zero(times: RoundTimes) -> None:
    assert list(times.seconds) == sorted(times.seconds)
    assert times.seconds[0] > 0


@given(any_times, st.integers(1, 50))
def test_rescaled_it_is_about_that_many_workers(times: RoundTimes, n: int) -> None:
    scaled = times.rescaled(n)
    assert scaled.n == n
    assert list(scaled.ks) == sorted(set(scaled.ks))
    assert scaled.ks[0] >= 1
    assert list(scaled.seconds) == sorted(scaled.seconds)
    assert times.rescaled(times.n) == times


def test_between_estimated_values_the_next_one_counts() -> None:
    times = RoundTimes.rising((2, 5, 8), (1.0, 2.0, 3.0))
    assert [times.at(k) for k in (1, 2, 3, 8, 9)] == [1.0, 1.0, 2.0, 3.0, 3.0]


def test_rounds_that_take_no_time_wait_for_all() -> None:
    assert RoundTimes.rising((1, 2, 3), (0.0, 0.0, 0.0)).most_results_per_second() == 3


def test_of_equal_rates_the_larger_k_is_taken() -> None:
    assert RoundTimes.rising((1, 2, 3), (1.0, 2.0, 4.0)).most_results_per_second() == 2
