"""How far and how much alike the clients of a cohort moved."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan, sqrt

import torch
from torch import Tensor

from trainers.mean import CHUNK, squared_distance


def coherence(moved: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Mean pairwise cosine of the updates yᵢ - wᵢ, in [-1, 1]; NaN of fewer than two that moved at all.

    moved: (yᵢ, wᵢ), flat [P], in order of work id. From the sum S of unit vectors: (‖S‖² - m) / (m·(m - 1)).
    Cost: 2 ms a million numbers and client.
    Source: Li et al. 2023, arXiv:2302.10911: near 0.25 at first, 0 from its critical point on.
    """
    lengths = [sqrt(squared_distance(after, before)) for after, before in moved]
    pairs = [(*pair, length) for pair, length in zip(moved, lengths, strict=True) if length and isfinite(length)]
    count = len(pairs)
    if count < 2:
        return nan
    size, norm2 = len(pairs[0][0]), 0.0
    for start in range(0, size, CHUNK):
        end = min(start + CHUNK, size)
        total = torch.zeros(end - start, dtype=torch.float64)
        for after, before, length in pairs:
            total.add_((after[start:end].double() - before[start:end].double()).div_(length))
        norm2 += float(total.dot(total))
    return (norm2 - count) / (count * (count - 1))
