"""Model Stock: the mean of the models, drawn back to the base as far as they disagree."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainers.merging.deltas import gram, sum_of_deltas
from trainers.merging.method import merge_method


@merge_method("model_stock", source="arXiv:2403.19522", needs_base=True, fewest=2)
def model_stock(base: Tensor, sources: Sequence[Tensor]) -> Tensor:
    """θ = θ₀ + t·mean τᵢ with t = N·c / (1 + (N - 1)·c), c the mean cosine of two task vectors of this tensor.

    t is the best shrinkage of a mean of N vectors that share a direction and carry independent noise.
    Holds: c = 1 gives the mean, c = 0 the base. c is clamped to [0, 1]: below 0 the formula would step backwards
        (t = -18 at c = -0.9 and two models), where the published code does.
    Source: Jang, Yun, Han 2024, arXiv:2403.19522.
    """
    count = len(sources)
    products = gram(base, sources)
    norms = products.diagonal().sqrt()
    cosines = products / torch.outer(norms, norms).clamp_min(torch.finfo(torch.float64).tiny)
    above = torch.triu_indices(count, count, offset=1)
    cosine = min(1.0, max(0.0, float(cosines[above[0], above[1]].mean())))
    ratio = count * cosine / (1 + (count - 1) * cosine)
    return sum_of_deltas(base, sources).mul_(ratio / count).add_(base)
