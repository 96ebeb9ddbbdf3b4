"""Labelled grey images held in memory as bytes, normalised when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset


@dataclass(frozen=True, slots=True, eq=False)
class Images(Dataset[tuple[Tensor, Tensor]]):
    """Samples (image float32 [1, height, width] with about mean 0 and deviation 1, label int64 []).

    pixels: uint8 [N, height, width]. labels: int64 [N]. mean, deviation: of the training pixels, as bytes.
    """

    pixels: Tensor
    labels: Tensor
    mean: float
    deviation: float

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        images, labels = self.batch_of(torch.tensor([index]))
        return images[0], labels[0]

    def batch_of(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, 1, height, width] and labels [B], gathered at once."""
        images = self.pixels[indices].unsqueeze(1).float().sub_(self.mean).div_(self.deviation)
        return images, self.labels[indices]
