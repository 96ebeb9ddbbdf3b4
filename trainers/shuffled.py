"""Some samples of a split in batches, in an order that is new in each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainers.context import Context
from trainers.randomness import derive
from trainers.task import Split


@dataclass(frozen=True, slots=True)
class Shuffled:
    """The order is a function of the run's seed, the work's id and the epoch.

    indices: int64 [N], N >= 1. batch_size: >= 1.
    """

    context: Context
    split: Split
    indices: Tensor
    batch_size: int

    def epoch(self, number: int) -> Iterator[tuple[int, Any]]:
        """Batches with their sizes; each sample once. number: from 0.

        The last batch may be smaller, but a single last sample joins the batch before: BatchNorm cannot train on one.
        """
        seed = derive(self.context.seed, f"order of epoch {number} of work", self.context.work_id)
        order = self.indices[torch.randperm(len(self.indices), generator=torch.Generator().manual_seed(seed))]
        start = 0
        while start < len(order):
            end = start + self.batch_size
            end = len(order) if end + 1 >= len(order) and self.batch_size > 1 else end
            batch = order[start:end]
            yield len(batch), self.context.batch(self.split, batch)
            start = end
