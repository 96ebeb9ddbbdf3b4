"""Learning scalars: the closed form is autograd's gradient, and nothing worse than the start is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import repeat

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.coefficients import Keep, Learn, Learning, Shares, learn
from trainers.mean import weighted_mean

some = settings(max_examples=60, deadline=None)
SIZE = 23


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def models(seed: int, count: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return list(normal(seed, count, SIZE, dtype=dtype))


def curved_loss(weights: Tensor, batch: Tensor) -> Tensor:
    """Smooth, neither convex nor symmetric, so that no term of a gradient cancels by chance."""
    return (weights * batch).sum().sin() + (weights - batch).pow(2).mean() + weights.exp().mean()


@dataclass
class Curved:
    """Learning to lower `curved_loss`; counts what was judged."""

    batch: Tensor
    judgements: list[float] = field(default_factory=list)

    def loss_and_gradient(self, weights: Tensor, batch: Tensor) -> tuple[float, Tensor]:
        leaf = weights.clone().requires_grad_()
        loss = curved_loss(leaf, batch)
        (gradient,) = torch.autograd.grad(loss, leaf)
        return loss.item(), gradient

    def judge(self, weights: Tensor) -> float:
        self.judgements.append(curved_loss(weights, self.batch).item())
        return self.judgements[-1]


samples_of = st.lists(st.integers(1, 1000).map(float), min_size=1, max_size=9)


@some
@given(st.integers(0, 10**6), samples_of, st.floats(-0.6, 0.6))
def test_the_closed_form_is_the_gradient_that_autograd_finds(seed: int, samples: list[float], s: float) -> None:
    weights, batch = models(seed, len(samples)), normal(seed + 1, SIZE)
    shares = Shares(weights, samples)
    scalars = shares.start() + normal(seed + 2, len(samples) + 1)
    scalars[-1] = s
    leaf = scalars.clone().requires_grad_()
    combined = leaf[-1].exp() * (leaf[:-1].softmax(0)[:, None] * torch.stack(weights)).sum(0)
    (expected,) = torch.autograd.grad(curved_loss(combined, batch), leaf)
    torch.testing.assert_close(shares.combine(scalars), combined.detach(), rtol=1e-12, atol=1e-12)
    _, gradient = Curved(batch).loss_and_gradient(shares.combine(scalars), batch)
    torch.testing.assert_close(shares.pull_back(scalars, gradient), expected, rtol=1e-12, atol=1e-12)


@some
@given(st.integers(0, 10**6), samples_of, st.sampled_from([torch.float32, torch.float64]))
def test_it_starts_at_the_mean_weighted_by_samples(seed: int, samples: list[float], dtype: torch.dtype) -> None:
    weights = models(seed, len(samples), dtype)
    shares = Shares(weights, samples)
    combined = shares.combine(shares.start())
    assert combined.dtype == dtype
    torch.testing.assert_close(combined, weighted_mean(weights, samples))
    assert shares.scale(shares.start()) == 1.0


@some
@given(st.integers(0, 10**6), samples_of, st.floats(0.001, 3.0))
def test_the_shares_are_a_distribution_and_the_scale_stays_within_its_limit(
    seed: int, samples: list[float], lr: float
) -> None:
    weights, batch = models(seed, len(samples)), normal(seed + 1, SIZE)
    shares = Shares(weights, samples, limit=0.5)
    learnt = learn(shares, Curved(batch), repeat(batch, 8), Learning(lr=lr))
    assert shares.shares(learnt.scalars).sum().item() == pytest.approx(1.0)
    assert shares.shares(learnt.scalars).min() >= 0
    assert abs(learnt.scalars[-1].item()) <= 0.5


@some
@given(st.integers(0, 10**6), samples_of, st.floats(0.001, 3.0), st.sampled_from(Keep), st.integers(0, 9))
def test_what_is_kept_is_never_worse_than_the_start(
    seed: int, samples: list[float], lr: float, keep: Keep, steps: int
) -> None:
    batch = normal(seed + 1, SIZE)
    shares, objective = Shares(models(seed, len(samples)), samples), Curved(batch)
    learnt = learn(shares, objective, repeat(batch, steps), Learning(lr=lr, keep=keep, judge_every=2))
    assert learnt.steps == steps
    assert learnt.before == objective.judgements[0]
    assert learnt.after <= learnt.before
    assert learnt.better == (learnt.after < learnt.before)
    assert objective.judge(shares.combine(learnt.scalars)) == learnt.after
    if not learnt.better:
        assert torch.equal(learnt.scalars, shares.start())
    if keep is Keep.BEST:
        assert learnt.after == min(objective.judgements)


@pytest.mark.parametrize("which", Learn)
def test_what_is_not_learnt_stays_as_it_started(which: Learn) -> None:
    batch, samples = normal(1, SIZE), [3.0, 1.0, 2.0]
    shares = Shares(models(0, 3), samples, which=which)
    learnt = learn(shares, Curved(batch), repeat(batch, 5), Learning())
    assert learnt.better
    assert (shares.scale(learnt.scalars) == 1.0) == (which is Learn.LAMBDA)
    unmoved = torch.equal(shares.shares(learnt.scalars), torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64) / 6)
    assert unmoved == (which is Learn.GAMMA)


def test_a_model_that_only_harms_loses_its_share() -> None:
    target = normal(5, SIZE)

    @dataclass
    class Nearest:
        def loss_and_gradient(self, weights: Tensor, batch: None) -> tuple[float, Tensor]:
            return self.judge(weights), 2 * (weights - target)

        def judge(self, weights: Tensor) -> float:
            return (weights - target).square().sum().item()

    near = [target + 0.1 * normal(seed, SIZE) for seed in range(3)]
    shares = Shares([*near, -target], [1.0] * 4, which=Learn.LAMBDA)
    learnt = learn(shares, Nearest(), repeat(None, 300), Learning())
    assert shares.shares(learnt.scalars)[3] < 0.05


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_learning_ends_at_the_first_number_that_is_not_finite(bad: float) -> None:
    batch = normal(1, SIZE)

    @dataclass
    class Breaks(Curved):
        steps: int = 0

        def loss_and_gradient(self, weights: Tensor, batch: Tensor) -> tuple[float, Tensor]:
            self.steps += 1
            loss, gradient = super().loss_and_gradient(weights, batch)
            return (loss, gradient) if self.steps < 3 else (loss, gradient * bad)

    shares = Shares(models(0, 3), [1.0, 2.0, 3.0])
    learnt = learn(shares, Breaks(batch), repeat(batch, 9), Learning())
    assert learnt.steps == 2
    assert not learnt.better
    assert torch.equal(learnt.scalars, shares.start())


def test_weights_that_cannot_be_judged_are_not_kept() -> None:
    batch = normal(1, SIZE)

    @dataclass
    class Unjudged(Curved):
        def judge(self, weights: Tensor) -> float:
            return super().judge(weights) if not self.judgements else float("nan")

    learnt = learn(Shares(models(0, 2), [1.0, 1.0]), Unjudged(batch), repeat(batch, 4), Learning())
    assert not learnt.better
    assert learnt.after == learnt.before


def test_equal_questions_get_equal_bits() -> None:
    batch = normal(1, SIZE, dtype=torch.float32)
    weights = models(0, 20, torch.float32)
    learnt = [
        learn(Shares(weights, [1.0] * 20), Curved(batch), repeat(batch, 20), Learning()).scalars for _ in range(2)
    ]
    assert torch.equal(*learnt)


def test_the_models_are_not_modified() -> None:
    batch, weights = normal(1, SIZE), models(0, 3)
    copies = [model.clone() for model in weights]
    learn(Shares(weights, [1.0] * 3), Curved(batch), repeat(batch, 3), Learning())
    assert all(torch.equal(model, copy) for model, copy in zip(weights, copies, strict=True))
