"""TIES: trim small changes, elect a sign for each number, and merge only those that agree with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor

from trainers.merging.method import Strength, merge_method


@merge_method("ties", source="arXiv:2306.01708", needs_base=True, scratch=9)
def ties(
    base: Tensor,
    sources: Sequence[Tensor],
    *,
    density: Annotated[float, Meta(gt=0, le=1)] = 0.2,
    alpha: Strength = 1.0,
    combine: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """θ = θ₀ + α·(mean or sum of those trimmed τ̂ᵢ that have the elected sign γ = sign Σ τ̂ᵢ).

    Args:
        density: share of each tensor's changes that is kept, the largest ones; at least one is, ties keep more.
        combine: "mean" divides by how many agree (the paper's), "sum" does not.
    Holds: one model, density 1 and α 1 give the model; equal signs and density 1 give the mean; the order of the
        sources does not matter; a change of zero is neither counted nor kept. Where the changes cancel exactly, the
        sign is the majority's over the tensor; if that is balanced too, the base stays.
    Source: Yadav et al. 2023, arXiv:2306.01708. We trim each tensor by itself, where the authors' code trims the
        whole model: so a tensor needs no other one to be merged, and the results were equal where both were measured.
    """
    thresholds = [_threshold(source - base, density) for source in sources]
    total = torch.zeros_like(base, dtype=torch.float64)
    for source, threshold in zip(sources, thresholds, strict=True):
        total.add_(_trimmed(source - base, threshold))
    elected = total.sign_()
    elected = torch.where(elected == 0, elected.sum().sign(), elected).to(base.dtype)
    merged = torch.zeros_like(base, dtype=torch.float64)
    agreeing = torch.zeros_like(base, dtype=torch.int16)
    for source, threshold in zip(sources, thresholds, strict=True):
        delta = _trimmed(source - base, threshold)
        agrees = (delta * elected) > 0
        merged.add_(delta.mul_(agrees))
        agreeing.add_(agrees)
    if combine == "mean":
        merged.div_(agreeing.clamp_(min=1))
    return merged.mul_(alpha).add_(base)


def _threshold(delta: Tensor, density: float) -> float:
    """The size of the smallest change that is kept."""
    size = delta.numel()
    kept = max(1, round(density * size))
    return float(delta.abs_().reshape(-1).kthvalue(size - kept + 1).values)


def _trimmed(delta: Tensor, threshold: float) -> Tensor:
    return delta.masked_fill_(delta.abs() < threshold, 0)
