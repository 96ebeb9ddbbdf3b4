"""Clients with one sample each, ½·Σ a·(y - b)², so that local steps, optimum and drift are known in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from trainers import Split, Task


class Point(nn.Module):
    """y, from 0."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.y = nn.Parameter(torch.zeros(size, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.y.expand(len(inputs), -1)


class Quadratics(Task):
    """curvatures a and targets b, [clients, size]: one client each, in the order of the partition."""

    def __init__(self, curvatures: Tensor, targets: Tensor) -> None:
        self.curvatures, self.targets = curvatures, targets

    def model(self) -> nn.Module:
        return Point(self.targets.shape[1])

    def data(self, split: Split) -> Dataset[Any]:
        return TensorDataset(self.curvatures, self.targets)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        curvatures, targets = batch
        return (curvatures * (model(targets) - targets).square()).sum(dim=1).mean() / 2

    @property
    def optimum(self) -> Tensor:
        return (self.curvatures * self.targets).sum(dim=0) / self.curvatures.sum(dim=0)
