"""A small real task: scikit-learn's digits and a perceptron, seconds to train."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits
from torch import Tensor, nn, tensor
from torch.utils.data import Dataset, TensorDataset

from trainers import Split, Task

PARTS = {Split.TRAIN: slice(0, 1200), Split.VALIDATION: slice(1200, 1400), Split.TEST: slice(1400, None)}
BATCH_S = 0.2


class Digits(Task):
    """64 inputs in [0, 1], 10 classes; 1,200 training samples."""

    def model(self, width: int = 32) -> nn.Module:
        return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def data(self, split: Split) -> Dataset[Any]:
        digits = load_digits()
        part = PARTS[split]
        return TensorDataset(tensor(digits.data[part] / 16).float(), tensor(digits.target[part]))


class PacedDigits(Digits):
    """A batch takes BATCH_S longer for as long as the file is there that the environment names in PACED_WHILE."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        if Path(os.environ.get("PACED_WHILE", "")).is_file():
            time.sleep(BATCH_S)
        return super().loss(model, batch)


class HangingDigits(Digits):
    """Whoever finds the file that the environment names in HANG_ONCE takes it away, and never returns."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        with suppress(FileNotFoundError):
            Path(os.environ["HANG_ONCE"]).unlink()
            while True:
                time.sleep(1)
        return super().loss(model, batch)
