"""The rule of `dbw`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.quorum.gain_smooth import Landscape, largest_decrease_per_second
from orchestrator.quorum.round_times import RoundTimes
from orchestrator.quorum.signals import Step

STEP = Step(loss=1.0, k=8, sum_norm2=8.0, norm2=0.5, learning_rate=0.1)
any_landscape = st.builds(
    Landscape,
    gradient_norm2=st.floats(0, 10),
    variance=st.floats(0, 10),
    curvature=st.floats(0, 100),
    step=st.builds(Step, st.just(1.0), st.just(8), st.just(8.0), st.just(0.5), st.floats(1e-3, 1), st.floats(0, 1)),
)
any_times = st.lists(st.floats(0.01, 10), min_size=1, max_size=20).map(
    lambda seconds: RoundTimes.rising(range(1, len(seconds) + 1), seconds)
)


@given(any_landscape, any_times)
def test_it_is_the_best_of_all(landscape: Landscape, times: RoundTimes) -> None:
    """Written out a second time, for plain numbers."""
    best, best_rate = None, 0.0
    for k, seconds in zip(times.ks, times.seconds, strict=True):
        eta = landscape.step.learning_rate * (k / 8) ** landscape.step.exponent
        decrease = eta * landscape.gradient_norm2
        penalty = landscape.curvature * eta**2 / 2 * (landscape.gradient_norm2 + landscape.variance / k)
        if (decrease - penalty) / seconds >= max(best_rate, 1e-300):
            best, best_rate = k, (decrease - penalty) / seconds
    chosen = largest_decrease_per_second(landscape, times)
    if chosen != best:  # two that are equal but for rounding
        rates = [landscape.gain(k) / times.at(k) if k else 0.0 for k in (chosen, best)]
        assert abs(rates[0] - rates[1]) <= 1e-9 * landscape.step.learning_rate * (
            landscape.gradient_norm2 + 1
        ) / times.at(1) * (1 + landscape.curvature)


@given(st.floats(1e-3, 10), st.floats(0, 10), st.integers(1, 30))
def test_equal_times_wait_for_all(norm2: float, variance: float, n: int) -> None:
    landscape = Landscape(norm2, variance, curvature=1e-3, step=STEP)
    assert largest_decrease_per_second(landscape, RoundTimes.rising(range(1, n + 1), [2.0] * n)) == n


def test_a_learning_rate_beyond_the_curvature_promises_nothing() -> None:
    landscape = Landscape(gradient_norm2=1.0, variance=1.0, curvature=30.0, step=STEP)
    assert largest_decrease_per_second(landscape, RoundTimes.rising((1, 2), (1.0, 2.0))) is None
