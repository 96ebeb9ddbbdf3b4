"""The grid of k above 64 workers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.quorum.candidates import candidates


@given(
    st.integers(1, 20_000),
    st.integers(-5, 30_000),
    st.lists(st.floats(0, 1e300), min_size=1, max_size=256),
    st.integers(12, 64),
)
def test_it_is_a_short_rising_list_with_n_and_the_current_k(
    n: int, current: int, levels: list[float], limit: int
) -> None:
    ks = candidates(n, current=current, levels=np.array(levels), limit=limit)
    assert list(ks) == sorted(set(ks))
    assert len(ks) <= limit
    assert 1 <= ks[0] <= ks[-1] == n
    assert min(max(current, 1), n) in ks


@pytest.mark.parametrize("n", [65, 100, 256, 1_000, 10_000])
def test_the_last_k_that_does_without_the_slow_quarter_is_among_them(n: int) -> None:
    m = min(n, 256)
    fast = 3 * m // 4
    ks = candidates(n, current=1, levels=np.r_[np.ones(fast), np.full(m - fast, 5.0)], limit=16)
    assert fast * n // m in ks
    assert -(-(fast * n // m) * m // n) == fast
