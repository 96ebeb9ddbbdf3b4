"""The problem as a Task. The folder with the data is in the environment, for a task is made without arguments."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from benchmarks.goodput import problem
from trainers import Split, Task
from trainers.data import Images

FOLDER = "RIPIENO_GOODPUT_FOLDER"


class Problem(Task):
    """Nothing is evaluated during the measurement: the loss of the gradients is watched, on both sides."""

    def model(self) -> nn.Module:
        return problem.model()

    def data(self, split: Split) -> Dataset[Any]:
        pixels, labels = problem.load(Path(os.environ[FOLDER]))
        return Images(pixels, labels, 72.88, 90.0)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        if torch.is_grad_enabled():
            _announce_once()
        return super().loss(model, batch)


@cache
def _announce_once() -> None:
    problem.announce(Path(os.environ[FOLDER]))
