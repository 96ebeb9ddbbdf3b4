"""Task vectors τᵢ = θᵢ - θ₀ of one tensor: their sum and their inner products, in float64 and without keeping them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

CHUNK = 1 << 16  # numbers


def sum_of_deltas(base: Tensor, sources: Sequence[Tensor]) -> Tensor:
    """Σᵢ (θᵢ - θ₀) as a new float64 tensor of the base's shape.

    Exact for float32 inputs but for cancellation beyond 29 bits, and so in any order of the sources.
    """
    total = torch.zeros_like(base, dtype=torch.float64)
    for source in sources:
        total.add_(source).sub_(base)
    return total


def gram(base: Tensor, sources: Sequence[Tensor]) -> Tensor:
    """⟨τᵢ, τⱼ⟩: float64 [N, N]. Cost: N² products a number, N·0.5 MiB of memory."""
    flat_base = base.reshape(-1)
    flats = [source.reshape(-1) for source in sources]
    products = torch.zeros(len(flats), len(flats), dtype=torch.float64)
    for start in range(0, len(flat_base), CHUNK):
        part = slice(start, start + CHUNK)
        deltas = torch.stack([flat[part].double() for flat in flats]).sub_(flat_base[part].double())
        products += deltas @ deltas.T
    return products
