"""Sums on several cores: the same bits as on one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers import parallel
from trainers.mean import CHUNK, squared_norm, weighted_mean


@given(count=st.integers(0, 10**8), cores=st.integers(1, 64))
def test_the_ranges_are_all_numbers_once_in_order_and_begin_with_a_chunk(count: int, cores: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parallel, "_cores", lambda: cores)
        ranges = parallel.in_parallel(count, CHUNK, lambda start, end: (start, end))
    assert [start for start, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
    assert ranges[-1][1] == count
    assert all(start % CHUNK == 0 for start, _ in ranges)
    assert len(ranges) == max(1, min(cores, count // parallel.ENOUGH))


def test_sums_are_the_same_bits_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(3 * parallel.ENOUGH + 12_345) for _ in range(18)]
    means, norms = [], set()
    for cores in (1, 2, 3):
        monkeypatch.setattr(parallel, "_cores", lambda cores=cores: cores)
        means.append(weighted_mean(tensors, [float(number + 1) for number in range(18)]))
        norms.add(squared_norm(means[-1]))
    assert torch.equal(means[0], means[1])
    assert torch.equal(means[0], means[2])
    assert len(norms) == 1


def test_what_goes_wrong_on_another_core_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_cores", lambda: 2)
    with pytest.raises(RuntimeError, match="size of tensor"):
        weighted_mean([torch.zeros(2 * parallel.ENOUGH), torch.zeros(parallel.ENOUGH)], [1.0, 1.0])
