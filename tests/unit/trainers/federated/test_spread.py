"""How much alike clients moved, against the definition pair by pair."""

from __future__ import annotations

from itertools import combinations
from math import isnan

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.aggregation.spread import spread
from trainers.mean import CHUNK


def flats(seed: int, count: int, size: int) -> list[tuple[Tensor, Tensor]]:
    numbers = torch.randn(count, 2, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return [(after, before) for after, before in numbers]


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 7), st.sampled_from([1, 5, CHUNK + 3]))
def test_coherence_is_the_mean_cosine_of_all_pairs(seed: int, count: int, size: int) -> None:
    moved = flats(seed, count, size)
    updates = [after - before for after, before in moved]
    cosines = [torch.cosine_similarity(one, other, dim=0).item() for one, other in combinations(updates, 2)]
    found = spread(moved)
    assert found.coherence == pytest.approx(sum(cosines) / len(cosines), abs=1e-9)
    assert found.sum_norm2 == pytest.approx(sum(update.square().sum().item() for update in updates), rel=1e-9)
    assert found.mean_norm2 == pytest.approx((sum(updates) / count).square().sum().item(), rel=1e-9)  # type: ignore[union-attr]


def test_clients_that_move_alike_are_wholly_coherent_and_opposite_ones_are_not() -> None:
    w = torch.zeros(4)
    step = torch.tensor([1.0, 2.0, 0.0, -1.0])
    assert spread([(step, w), (3 * step, w)]).coherence == pytest.approx(1.0)
    assert spread([(step, w), (-step, w)]).coherence == pytest.approx(-1.0)
    assert spread([(step, w), (-step, w)]).mean_norm2 == 0.0


def test_a_single_client_or_one_that_stood_still_has_nobody_to_agree_with() -> None:
    w, y = torch.zeros(4), torch.ones(4)
    assert isnan(spread([(y, w)]).coherence)
    assert isnan(spread([(y, w), (w, w)]).coherence)
