"""T(h, k)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.isotonic import IsotonicRegression

from orchestrator.quorum.order_table import monotone, order_table, remembered
from orchestrator.records import Arrivals

sides = st.integers(1, 6)
some = settings(max_examples=50, deadline=None)


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    side = draw(sides)
    value = draw(hnp.arrays(np.float64, (side, side), elements=st.floats(0, 10)))
    return value, draw(hnp.arrays(np.float64, (side, side), elements=st.sampled_from([1e-3, 1.0, 2.0, 50.0])))


@some
@given(tables())
def test_it_never_falls_along_k_nor_rises_along_h(table: tuple[np.ndarray, np.ndarray]) -> None:
    fitted = monotone(*table)
    assert (np.diff(fitted, axis=1) >= 0).all()
    assert (np.diff(fitted, axis=0) <= 0).all()


@some
@given(tables(), tables())
def test_what_is_monotone_already_stays(one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray]) -> None:
    fitted = monotone(*one)
    assert monotone(fitted, one[1]) == pytest.approx(fitted)


@some
@given(tables(), st.integers(0, 2**32))
@example((np.array([[4.0, 4, 4], [4, 4, 0], [4, 4, 4]]), np.array([[50.0, 50, 50], [50, 1e-3, 50], [50, 50, 1e-3]])), 1)
def test_no_other_monotone_table_is_nearer(table: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    """The projection's own inequality, at monotone tables close by and far off."""
    value, weight = table
    weight = np.maximum(weight, 1.0)
    fitted = monotone(value, weight)
    random = np.random.default_rng(seed)
    distance = (weight * (value - fitted) ** 2).sum()
    for size in (0.1, 1.0, 10.0):
        other = monotone(fitted + size * random.normal(size=fitted.shape), weight)
        assert (weight * (value - other) ** 2).sum() >= distance * (1 - 1e-2) - 1e-6


@some
@given(st.lists(st.tuples(st.floats(0, 10), st.sampled_from([1e-3, 1.0, 50.0])), min_size=1, max_size=20))
def test_a_single_row_is_an_isotonic_regression(cells: list[tuple[float, float]]) -> None:
    """Equal rows: the second monotonicity binds nothing."""
    value, weight = (np.tile(column, (len(cells), 1)) for column in np.array(cells).T)
    expected = IsotonicRegression().fit_transform(np.arange(len(cells)), value[0], sample_weight=weight[0])
    assert monotone(value, weight)[0] == pytest.approx(expected, abs=1e-6)


def test_it_is_nearer_than_alternation_without_corrections() -> None:
    value = np.random.default_rng(0).random((6, 6))
    plain = value.copy()
    for _ in range(100):
        plain = np.array([IsotonicRegression().fit_transform(np.arange(6), row) for row in plain])
        plain = np.array([IsotonicRegression(increasing=False).fit_transform(np.arange(6), row) for row in plain.T]).T
    fitted = monotone(value, np.ones((6, 6)))
    assert ((value - fitted) ** 2).sum() < ((value - plain) ** 2).sum() - 1e-3


def test_seen_rounds_are_their_means() -> None:
    rounds = [Arrivals(2, [1.0, 2.0]), Arrivals(2, [3.0, 4.0])]
    table = order_table(rounds, 2, current=2, by_rank={})
    assert table is not None
    assert table.after(2).seconds == pytest.approx((2.0, 3.0))


def test_an_untried_k_looks_like_the_last_seen_one_and_a_forgotten_one_is_remembered() -> None:
    rounds = [Arrivals(2, [1.0, 2.0])] * 3
    fresh = order_table(rounds, 4, current=2, by_rank={})
    knowing = order_table(rounds, 4, current=2, by_rank={1: 9.0, 4: 8.0})
    assert fresh is not None
    assert knowing is not None
    assert fresh.steady().seconds == pytest.approx((1.0, 2.0, 2.0, 2.0), abs=1e-2)
    assert knowing.steady().seconds == pytest.approx((1.0, 2.0, 5.0, 8.0), abs=1e-2)
    assert remembered(knowing.memory()) == pytest.approx({1: 1.0, 2: 2.0, 3: 5.0, 4: 8.0})


def test_nothing_seen_and_nothing_remembered_is_no_table() -> None:
    assert order_table([], 4, current=4, by_rank={}) is None
    assert order_table([Arrivals(0, [])], 4, current=4, by_rank=remembered(None)) is None


def test_many_workers_make_a_table_of_24_a_side_with_the_step_in_it() -> None:
    offsets = [1.0] * 75 + [5.0] * 25
    table = order_table([Arrivals(100, offsets)] * 3, 100, current=100, by_rank={})
    assert table is not None
    assert table.seconds.shape == (len(table.ks), len(table.ks))
    assert len(table.ks) <= 24
    assert table.steady().most_results_per_second() == 75
