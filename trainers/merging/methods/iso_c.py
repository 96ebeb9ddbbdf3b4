"""Iso-C: the sum of the task vectors with every direction made equally strong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from trainers.merging.deltas import sum_of_deltas
from trainers.merging.method import Strength, merge_method

NULL = 1e-6
"""Singular values below this share of the largest are rounding: their directions mean nothing and are left out."""


@merge_method("iso_c", source="arXiv:2502.04959", needs_base=True, scratch=24)
def iso_c(
    base: Tensor,
    sources: Sequence[Tensor],
    *,
    alpha: Strength = 1.0,
    convolutions: Literal["mean", "matrix"] = "mean",
) -> Tensor:
    """θ = θ₀ + α·Δ, where Δ of a matrix is mean(σ)·U Vᵀ of Σ τᵢ = U diag(σ) Vᵀ, and of any other tensor mean τᵢ.

    Args:
        alpha: must be searched, often between 1 and 3; above, if the models were fine-tuned shortly.
        convolutions: what a tensor of 3 or more axes is: "mean" as in the authors' code, or a "matrix"
            [out, in·height·width].
    Holds: the spectrum of Δ is flat, its nuclear norm is that of Σ τᵢ; N copies of τ give N times Iso-C of τ.
    Cost: one singular value decomposition in float64 a matrix, on the CPU; 1 s for 1000 x 1000.
    Source: Marczak et al. 2025, arXiv:2502.04959. Ours adds: null directions are cut before the mean, so that it is
        over the rank, and no arbitrary direction gets weight.
    """
    total = sum_of_deltas(base, sources)
    if total.dim() < 2 or (total.dim() > 2 and convolutions == "mean"):
        return total.mul_(alpha / len(sources)).add_(base)
    left, sigma, right = torch.linalg.svd(total.flatten(1), full_matrices=False)
    kept = int((sigma > NULL * sigma[0]).sum()) if len(sigma) else 0
    if not kept:
        return base.clone()
    isotropic: Tensor = (left[:, :kept] @ right[:kept]).mul_(alpha * float(sigma[:kept].mean()))
    return isotropic.view(base.shape).add_(base)
