"""aTLAS: a coefficient for each task vector and tensor, learnt from data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainers.flat import Layout


class Atlas:
    """θ₀ + Σᵢ Λᵢ·τᵢ with one scalar for each (task vector, parameter tensor): a `Combination` of coefficients.py.

    The scalars are [models x tensors], those of the first model first. They start at zero: the base, bit for bit.
    One model with all ones is that model, to rounding. Frozen parameters keep their places: their scalars stay 0.

    layout: where the tensors lie. base, models: flat [P] of its dtype, not modified.
    Cost: a copy of all task vectors; a `combine` or `pull_back` is one pass over them.
    Source: Zhang et al. 2024, arXiv:2407.02880. The gradient in closed form is ours: ∂/∂Λᵢₜ = gₜ·τᵢₜ.
    """

    def __init__(self, layout: Layout, base: Tensor, models: Sequence[Tensor]) -> None:
        self._base = base
        self._deltas = torch.stack(list(models)).sub_(base)  # [m, P]
        self._sizes = [piece.size for piece in layout.pieces]
        self._trainable = torch.tensor([piece.trainable for piece in layout.pieces])

    def start(self) -> Tensor:
        return torch.zeros(len(self._deltas) * len(self._sizes), dtype=torch.float64)

    def coefficients(self, scalars: Tensor) -> Tensor:
        """Λ, [models, tensors]."""
        return scalars.view(len(self._deltas), len(self._sizes))

    def combine(self, scalars: Tensor) -> Tensor:
        weights = self._base.clone()
        for coefficients, delta in zip(self.coefficients(scalars).tolist(), self._deltas, strict=True):
            for coefficient, part, step in self._parts(coefficients, weights, delta):
                if coefficient != 0:
                    part.add_(step, alpha=coefficient)
        return weights

    def pull_back(self, scalars: Tensor, gradient: Tensor) -> Tensor:
        slopes = [
            torch.stack([torch.dot(g, step) for g, step in zip(self._split(gradient), self._split(delta), strict=True)])
            for delta in self._deltas
        ]
        return (torch.stack(slopes).double() * self._trainable).reshape(-1)

    def allowed(self, scalars: Tensor) -> Tensor:
        return scalars

    def _split(self, flat: Tensor) -> Sequence[Tensor]:
        return flat.split_with_sizes(self._sizes)

    def _parts(
        self, coefficients: Sequence[float], one: Tensor, other: Tensor
    ) -> Sequence[tuple[float, Tensor, Tensor]]:
        return list(zip(coefficients, self._split(one), self._split(other), strict=True))
