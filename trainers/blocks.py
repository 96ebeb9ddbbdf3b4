"""Which samples make up a block: one gradient's share of an epoch."""

from __future__ import annotations

from functools import lru_cache
from math import ceil

import torch
from torch import Tensor

from trainers.errors import BlockMissing
from trainers.randomness import derive


def blocks_per_epoch(samples: int, batch_size: int) -> int:
    """Blocks of one pass over `samples` >= 1 samples; the last may be shorter than `batch_size` >= 1."""
    return ceil(samples / batch_size)


@lru_cache(maxsize=2)  # while an epoch's last blocks come back, those of the next are under way
def permutation(samples: int, seed: int, epoch: int) -> Tensor:
    """The order of an epoch: int64 [samples], each index once, drawn from (seed, epoch). Not to be written to.

    Cost: 10 ns a sample at first, nothing for the last two asked.
    """
    generator = torch.Generator().manual_seed(derive(seed, "epoch", epoch))
    return torch.randperm(samples, generator=generator)


def block_of(order: Tensor, block: int, batch_size: int) -> Tensor:
    """Sample indices of block `block` >= 0 of an epoch's order: int64 [batch_size], fewer in the last block.

    Raises:
        BlockMissing: the epoch has no such block.
    Holds: the blocks of an epoch, one after another, are its order.
    """
    indices = order[block * batch_size : (block + 1) * batch_size]
    if not len(indices):
        raise BlockMissing(block, batch_size, len(order))
    return indices
