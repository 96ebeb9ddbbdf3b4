"""Learns the few scalars of a combination of many weights from data, by the closed form of their gradient.

One forward and one backward pass through one model a step, whatever the number of models combined: the gradient
g = ∂loss/∂weights [P] comes first, then each scalar's own by dot products with g. Autograd never sees the m models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from trainers.mean import weighted_mean

Batch_contra = TypeVar("Batch_contra", contravariant=True)
Batch = TypeVar("Batch")


class Combination(Protocol):
    """Flat weights [P] as a differentiable function of n scalars, float64 [n]. Modifies none of its arguments."""

    def start(self) -> Tensor:
        """Where learning begins."""

    def combine(self, scalars: Tensor) -> Tensor:
        """The weights [P], a new tensor."""

    def pull_back(self, scalars: Tensor, gradient: Tensor) -> Tensor:
        """∂loss/∂scalars [n] from ∂loss/∂weights = `gradient` [P] at combine(scalars); zero for a fixed scalar."""

    def allowed(self, scalars: Tensor) -> Tensor:
        """The nearest scalars within bounds; the same where there are none."""


class Objective(Protocol[Batch_contra]):
    """What the combined weights should be good at."""

    def loss_and_gradient(self, weights: Tensor, batch: Batch_contra) -> tuple[float, Tensor]:
        """The loss of flat weights [P] on a batch, and its gradient [P]."""

    def judge(self, weights: Tensor) -> float:
        """What is compared before and after, lower is better: the loss over all of the data, say."""


class Keep(StrEnum):
    """Which scalars learning hands over, if they are better than the first."""

    LAST = "last"
    BEST = "best"  # of those judged


@dataclass(frozen=True, slots=True)
class Learning:
    """How to learn: AdamW, which without weight decay is Adam.

    lr: > 0. betas: in [0, 1). weight_decay: >= 0, pulls every scalar towards 0, per step and lr.
    judge_every: with BEST, steps between judgements, >= 1; the last step is always judged.
    """

    lr: float = 0.02
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    keep: Keep = Keep.LAST
    judge_every: int = 1


@dataclass(frozen=True, slots=True)
class Learnt:
    """scalars: those kept, float64 [n]. before, after: the judgement of the first ones, and of those kept.

    better: whether any but the first are kept. steps: taken.
    """

    scalars: Tensor
    before: float
    after: float
    better: bool
    steps: int


def learn(
    combination: Combination, objective: Objective[Batch], batches: Iterable[Batch], settings: Learning
) -> Learnt:
    """One AdamW step of the scalars a batch, clipped to what is allowed after each.

    Args:
        batches: of all epochs, one after another.
    Guard: scalars that are not judged better than the first ones are not kept. At the first loss or gradient that is
        not finite learning ends, with the best judged before.
    Cost: a step: one `combine`, one gradient of the model, one `pull_back`.
    Source: Li et al. 2023, arXiv:2302.10911, which keeps m models in autograd's graph; the closed form is ours.
    """
    first = combination.start()
    parameter = nn.Parameter(first.clone())
    optimizer = torch.optim.AdamW(
        [parameter], lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay, foreach=False
    )
    before = objective.judge(combination.combine(first))
    kept, after = first, before if isfinite(before) else inf
    steps, judged = 0, 0
    for batch in batches:
        scalars = parameter.detach()
        loss, gradient = objective.loss_and_gradient(combination.combine(scalars), batch)
        parameter.grad = combination.pull_back(scalars, gradient)
        if not isfinite(loss) or not bool(parameter.grad.isfinite().all()):
            return Learnt(kept, before, after, kept is not first, steps)
        optimizer.step()
        parameter.data = combination.allowed(parameter.detach())
        steps += 1
        if settings.keep is Keep.BEST and steps % settings.judge_every == 0:
            kept, after = _better_of(combination, objective, parameter, kept, after)
            judged = steps
    if judged != steps:
        kept, after = _better_of(combination, objective, parameter, kept, after)
    return Learnt(kept, before, after, kept is not first, steps)


class Learn(StrEnum):
    """Which of FedLAW's scalars are learnt; the others stay as FedAvg has them."""

    BOTH = "both"
    LAMBDA = "lambda"
    GAMMA = "gamma"


class Shares:
    """γ·Σᵢ λᵢ·wᵢ of m models, λ = softmax(x), γ = exp(s); the scalars are x₁ … xₘ and s. FedLAW's combination.

    Starts at λᵢ = samplesᵢ / Σ samples and γ = 1, which is the weighted mean of FedAvg (to rounding).
    In the models' dtype, taken from their weighted mean c, so that no digits are lost where models are alike:
    γ·(c + Σᵢ λᵢ·(wᵢ - c)). Gradient: ∂/∂xᵢ = γ·λᵢ·g·(wᵢ - Σⱼ λⱼ·wⱼ), ∂/∂s = g·w.

    models: one or more, flat [P] of one dtype. samples: > 0, one for each. limit: largest |s|.
    Cost: a copy of all models; a `combine` or `pull_back` is one pass over it.
    Source: Li et al. 2023, arXiv:2302.10911. Ours adds the limit, against a γ that runs away.
    """

    def __init__(
        self, models: Sequence[Tensor], samples: Sequence[float], *, which: Learn = Learn.BOTH, limit: float = 0.7
    ) -> None:
        self._shares = torch.tensor(samples, dtype=torch.float64) / sum(samples)
        self._centre = weighted_mean(models, samples)
        self._offsets = torch.stack(list(models)).sub_(self._centre)  # [m, P]
        self._which = which
        self._limit = limit

    def start(self) -> Tensor:
        return torch.cat((self._shares.log(), torch.zeros(1, dtype=torch.float64)))

    def shares(self, scalars: Tensor) -> Tensor:
        """λ, float64 [m], > 0, sum 1; exactly those of the samples where λ is not learnt."""
        return self._shares if self._which is Learn.GAMMA else scalars[:-1].softmax(dim=0)

    def scale(self, scalars: Tensor) -> float:
        """γ > 0."""
        return float(scalars[-1].exp())

    def combine(self, scalars: Tensor) -> Tensor:
        shares = self.shares(scalars).to(self._offsets.dtype)
        return torch.addmv(self._centre, self._offsets.T, shares).mul_(self.scale(scalars))

    def pull_back(self, scalars: Tensor, gradient: Tensor) -> Tensor:
        shares, scale = self.shares(scalars), self.scale(scalars)
        along = torch.mv(self._offsets, gradient).double()  # g·(wᵢ - c), [m]
        mean = shares.dot(along)  # g·(Σⱼ λⱼ·wⱼ - c)
        towards = scale * shares * (along - mean)
        growing = scale * (torch.dot(self._centre, gradient).double() + mean)
        if self._which is Learn.LAMBDA:
            growing = torch.zeros_like(growing)
        elif self._which is Learn.GAMMA:
            towards = torch.zeros_like(towards)
        return torch.cat((towards, growing.view(1)))

    def allowed(self, scalars: Tensor) -> Tensor:
        limited = scalars.clone()
        limited[-1].clamp_(-self._limit, self._limit)
        return limited


def _better_of(
    combination: Combination, objective: Objective[Batch], parameter: nn.Parameter, kept: Tensor, after: float
) -> tuple[Tensor, float]:
    scalars = parameter.detach().clone()
    judgement = objective.judge(combination.combine(scalars))
    return (scalars, judgement) if judgement < after else (kept, after)
