"""Task arithmetic: go from the base along the sum of the task vectors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from trainers.merging.deltas import sum_of_deltas
from trainers.merging.method import Strength, merge_method


@merge_method("task_arithmetic", source="arXiv:2212.04089", needs_base=True)
def task_arithmetic(base: Tensor, sources: Sequence[Tensor], *, alpha: Strength = 0.3) -> Tensor:
    """θ = θ₀ + α Σ τᵢ.

    alpha: the step grows with α·N; with several sources 1 is usually far too long. Negative: unlearn.
    Holds: α = 0 gives the base; α = 1 with one model gives that model; α = 1/N gives the uniform soup.
    Source: Ilharco et al. 2023, arXiv:2212.04089.
    """
    return sum_of_deltas(base, sources).mul_(alpha).add_(base)
