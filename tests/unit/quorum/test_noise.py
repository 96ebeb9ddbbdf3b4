"""Estimates of V, N and L against gradients whose V, N and L are known."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.quorum.noise import (
    Before,
    curvature_from_losses,
    curvature_from_step,
    gradient_norm2,
    variance_sample,
)
from orchestrator.quorum.signals import Step

SIZE, VARIANCE, NORM2, CURVATURE, ETA = 8, 3.0, 0.5, 2.0, 0.05
TRUE = np.full(SIZE, (NORM2 / SIZE) ** 0.5)


def drawn(k: int, draws: int = 10_000) -> list[Step]:
    """Steps of k gaussian gradients around the true one."""
    random = np.random.default_rng(k)
    gradients = TRUE + random.normal(scale=(VARIANCE / SIZE) ** 0.5, size=(draws, k, SIZE))
    means = gradients.mean(axis=1)
    changes = np.diff(means, axis=0, prepend=means[:1])
    return [
        Step(1.0, k, float((each**2).sum()), float(mean @ mean), ETA, 0.0, float(change @ change))
        for each, mean, change in zip(gradients, means, changes, strict=True)
    ]


@pytest.mark.parametrize("k", [1, 2, 3, 16])
def test_the_variance_is_unbiased(k: int) -> None:
    samples = [variance_sample(step, k) for step in drawn(k)[1:]]
    assert np.mean([sample for sample in samples if sample is not None]) == pytest.approx(VARIANCE, rel=0.02)


@pytest.mark.parametrize("k", [2, 16])
def test_the_squared_norm_is_unbiased_before_it_is_clipped(k: int) -> None:
    steps = drawn(k)
    assert np.mean([gradient_norm2(step, VARIANCE) for step in steps]) == pytest.approx(NORM2, rel=0.04)


def test_rounding_never_makes_a_variance_negative() -> None:
    assert variance_sample(Step(1.0, 3, 3 * 0.1 - 1e-12, 0.1, ETA), 3) == 0.0


def test_a_single_gradient_needs_the_one_before() -> None:
    assert variance_sample(Step(1.0, 1, 1.0, 1.0, ETA, change_norm2=2.0), None) is None
    assert variance_sample(Step(1.0, 1, 1.0, 1.0, ETA), 1) is None
    assert variance_sample(Step(1.0, 1, 1.0, 1.0, ETA, change_norm2=3.0), 2) == pytest.approx(2.0)


def test_without_noise_the_losses_give_the_curvature_exactly() -> None:
    """On ½L‖w‖² the bound that L is read from is an equality."""
    before = Step(CURVATURE / 2 * SIZE, 4, 0.0, CURVATURE**2 * SIZE, ETA)  # at ones
    shrunk = (1 - ETA * CURVATURE) ** 2
    after = Step(shrunk * before.loss, 4, 0.0, shrunk * before.norm2, ETA)
    assert curvature_from_losses(Before(before, before.norm2, 0.0), after) == pytest.approx(CURVATURE)
    assert curvature_from_losses(Before(before, 0.0, 0.0), after) is None


def test_the_change_along_noisy_steps_gives_the_curvature_on_average() -> None:
    random, eta = np.random.default_rng(0), 0.3
    weights, k, fractions = np.ones(SIZE), 4, []
    before, move = None, np.zeros(SIZE)
    for _ in range(4_000):
        gradients = CURVATURE * weights + random.normal(scale=(VARIANCE / SIZE) ** 0.5, size=(k, SIZE))
        mean = gradients.mean(axis=0)
        step = Step(
            1.0,
            k,
            float((gradients**2).sum()),
            float(mean @ mean),
            eta,
            0.0,
            None,
            float(mean @ move),
            float(move @ move),
        )
        if before is not None:
            fractions.append(curvature_from_step(Before(before, 0.0, VARIANCE), step))
        before, move = step, -eta * mean
        weights = weights + move
    top, bottom = np.sum([fraction for fraction in fractions if fraction is not None], axis=0)
    assert top / bottom == pytest.approx(CURVATURE, rel=0.1)
