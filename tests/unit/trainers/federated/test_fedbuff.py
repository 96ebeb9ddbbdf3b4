"""FedBuff: without staleness it averages, with it the step is shorter."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers import Tensors, fingerprint
from trainers.aggregation import Cohort, Update, make_rule
from trainers.aggregation.fedbuff import FedBuff
from trainers.flat import PARAMETERS
from trainers.mean import weighted_mean

SIZE = 11
NO_PROXY: Any = None


def flat(seed: int, dtype: torch.dtype = torch.float64) -> Tensors:
    return {PARAMETERS: torch.randn(SIZE, generator=torch.Generator().manual_seed(seed), dtype=dtype)}


def combined(rule: FedBuff, weights: Tensors, updates: list[Update]) -> Tensor:
    return rule.combine(Cohort(weights, updates, population=len(updates)), NO_PROXY).weights[PARAMETERS]


@pytest.mark.parametrize("clients", [1, 2, 7])
def test_fresh_updates_are_averaged_without_weights_bit_for_bit(clients: int) -> None:
    weights = flat(0, torch.float32)
    models = [flat(1 + number, torch.float32) for number in range(clients)]
    updates = [Update(number, str(number), 1.0 + number, model, weights) for number, model in enumerate(models)]
    expected = weighted_mean([model[PARAMETERS] for model in models], [1.0] * clients)
    assert fingerprint({"w": combined(FedBuff(), weights, updates)}) == fingerprint({"w": expected})


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.floats(0.1, 2.0))
def test_the_step_is_the_sum_of_updates_each_by_the_root_of_its_staleness(stale: list[int], server_lr: float) -> None:
    weights = flat(0)
    updates = [
        Update(number, str(number), 5.0, flat(1 + number), flat(100 + number), staleness)
        for number, staleness in enumerate(stale)
    ]
    step = torch.zeros(SIZE, dtype=torch.float64)
    for update in updates:
        step += (update.weights[PARAMETERS] - update.base[PARAMETERS]) / sqrt(1 + update.staleness)
    expected = weights[PARAMETERS] + server_lr * step / len(updates)
    if not any(stale) and server_lr == 1.0:
        return
    torch.testing.assert_close(combined(FedBuff(server_lr), weights, updates), expected, rtol=1e-12, atol=1e-12)


def test_a_staleness_of_three_halves_the_step() -> None:
    weights = flat(0)
    fresh = [Update(number, str(number), 5.0, flat(1 + number), weights) for number in range(4)]
    stale = [update._replace(staleness=3) for update in fresh]
    whole = combined(FedBuff(), weights, fresh) - weights[PARAMETERS]
    half = combined(FedBuff(), weights, stale) - weights[PARAMETERS]
    torch.testing.assert_close(half, whole / 2, rtol=1e-12, atol=1e-12)


def test_it_says_how_stale_its_buffer_was() -> None:
    weights = flat(0)
    updates = [Update(number, str(number), 5.0, flat(number), flat(9), number) for number in (0, 1, 5)]
    metrics = make_rule({"name": "fedbuff"}).combine(Cohort(weights, updates, 3), NO_PROXY).metrics
    assert metrics == {"staleness": 2.0}
