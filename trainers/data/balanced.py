"""A few samples of a data set in which all classes have the same share, as a proxy for all the data."""

from __future__ import annotations

import torch
from torch import Tensor

from trainers.errors import SamplesMissing
from trainers.randomness import derive


def balanced(labels: Tensor, samples: int, seed: int) -> Tensor:
    """Indices of `samples` >= 1 of them, int64, rising, drawn from the seed.

    Classes differ by one sample at most, unless one has too few: then the others make up for it, evenly.
    labels: int64 [N].
    Raises:
        SamplesMissing: N < samples.
    """
    if len(labels) < samples:
        raise SamplesMissing(samples, len(labels))
    generator = torch.Generator().manual_seed(derive(seed, "balanced", samples))
    shuffled = torch.randperm(len(labels), generator=generator)
    classes, positions = torch.unique(labels[shuffled], return_inverse=True)
    turn = torch.randperm(len(classes), generator=generator)  # whose sample comes first in a lap
    lap = torch.empty_like(positions)
    for number in range(len(classes)):
        members = positions == number
        lap[members] = torch.arange(int(members.sum()))
    order = torch.argsort(lap * len(classes) + turn[positions])
    return shuffled[order[:samples]].sort().values
