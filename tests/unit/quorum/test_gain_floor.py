"""The rule of `dynamic`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.quorum.gain_floor import Progress, most_progress_per_second
from orchestrator.quorum.round_times import RoundTimes
from orchestrator.quorum.signals import Step

STEP = Step(loss=1.0, k=16, sum_norm2=16.0, norm2=0.5, learning_rate=0.1)
any_step = st.builds(Step, st.just(1.0), st.just(16), st.just(16.0), st.just(0.5), st.floats(1e-3, 10), st.floats(0, 1))
LEAST = 1e-100  # what is smaller would not be exact in other units
any_progress = st.builds(
    Progress,
    any_step,
    variance=st.one_of(st.just(0.0), st.floats(LEAST, 100)),
    gap=st.one_of(st.just(0.0), st.floats(LEAST, 10), st.floats(-0.1, -LEAST)),
)
constant_progress = any_progress.map(lambda progress: replace(progress, step=replace(progress.step, exponent=0.0)))
any_times = st.lists(st.floats(0.01, 10), min_size=1, max_size=20).map(
    lambda seconds: RoundTimes.rising(range(1, len(seconds) + 1), seconds)
)


@given(any_progress, any_times)
def test_no_k_beyond_the_limit_and_none_of_much_less_progress(progress: Progress, times: RoundTimes) -> None:
    choice = most_progress_per_second(progress, times)
    rates = {k: progress.gain(k) / seconds for k, seconds in zip(times.ks, times.seconds, strict=True)}
    assert choice.limit == max(times.ks, key=lambda k: (k / times.at(k), k))
    if choice.hopeless:
        assert max(rates.values()) <= 0
        assert choice.k == choice.limit
    else:
        enough = [k for k in times.ks if rates[k] >= 0.98 * max(rates.values())]
        assert choice.k == min(choice.limit, max(enough))


@given(any_progress, st.integers(1, 30), st.floats(0.01, 100))
def test_equal_times_wait_for_all(progress: Progress, n: int, seconds: float) -> None:
    assert most_progress_per_second(progress, RoundTimes.rising(range(1, n + 1), [seconds] * n)).k == n


@given(constant_progress, any_times, st.floats(0, 1))
def test_a_lower_loss_never_waits_for_fewer(progress: Progress, times: RoundTimes, share: float) -> None:
    nearer = replace(progress, gap=progress.gap * share if progress.gap > 0 else progress.gap)
    assert most_progress_per_second(nearer, times).k >= most_progress_per_second(progress, times).k


@given(constant_progress, any_times, st.floats(1, 100))
def test_a_larger_variance_never_waits_for_fewer(progress: Progress, times: RoundTimes, factor: float) -> None:
    noisier = replace(progress, variance=progress.variance * factor)
    assert most_progress_per_second(noisier, times).k >= most_progress_per_second(progress, times).k


@given(any_progress, any_times, st.integers(-20, 20))
def test_units_of_time_mean_nothing(progress: Progress, times: RoundTimes, exponent: int) -> None:
    scaled = RoundTimes(times.ks, tuple(seconds * 2.0**exponent for seconds in times.seconds))
    assert most_progress_per_second(progress, scaled) == most_progress_per_second(progress, times)


@given(any_progress, any_times, st.integers(-10, 10))
def test_units_of_loss_mean_nothing(progress: Progress, times: RoundTimes, exponent: int) -> None:
    unit = 2.0**exponent
    scaled = replace(
        progress,
        step=replace(progress.step, learning_rate=progress.step.learning_rate / unit),
        variance=progress.variance * unit**2,
        gap=progress.gap * unit,
    )
    assert most_progress_per_second(scaled, times) == most_progress_per_second(progress, times)


def test_a_flat_stretch_is_taken_to_its_end() -> None:
    times = RoundTimes.rising(range(1, 17), [1 + k / 1000 for k in range(12)] + [5.0] * 4)
    nearly_noiseless = Progress(STEP, variance=0.01, gap=1.0)
    assert most_progress_per_second(nearly_noiseless, times).k == 12


def test_without_noise_the_first_result_is_enough_when_it_is_much_faster() -> None:
    times = RoundTimes.rising(range(1, 5), [1.0, 1.5, 1.8, 2.0])
    assert most_progress_per_second(Progress(STEP, variance=0.0, gap=1.0), times).k == 1


def test_a_run_below_its_supposed_floor_takes_most_results_per_second() -> None:
    times = RoundTimes.rising(range(1, 5), [1.0, 1.5, 1.8, 9.0])
    choice = most_progress_per_second(Progress(STEP, variance=1.0, gap=-0.5), times)
    assert choice == (3, 3, True)


@pytest.mark.parametrize(("exponent", "floors"), [(0.0, [0.4, 0.1]), (0.5, [0.1, 0.05]), (1.0, [0.025, 0.025])])
def test_the_noise_floor_falls_with_k_unless_the_learning_rate_follows_it(exponent: float, floors: list[float]) -> None:
    progress = Progress(replace(STEP, exponent=exponent), variance=16.0, gap=1.0)
    assert [progress.noise_floor(k) for k in (1, 4)] == pytest.approx(floors)
