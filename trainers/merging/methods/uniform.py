"""The uniform soup: the mean of the models."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from trainers.mean import weighted_mean
from trainers.merging.method import merge_method


@merge_method("uniform", source="arXiv:2203.05482", scratch=2)
def uniform(base: Tensor | None, sources: Sequence[Tensor]) -> Tensor:
    """θ = Σ θᵢ / N, summed in float64.

    Holds: copies of one model give it back; θ = θ₀ + mean τᵢ for any θ₀; a single source comes through bit for bit.
    Source: Wortsman et al. 2022, arXiv:2203.05482.
    """
    return weighted_mean(sources, [1.0] * len(sources))
