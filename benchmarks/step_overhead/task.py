"""The learning problem of both sides: a deep perceptron of a given size on random numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset

from trainers import Split, Task

FEATURES, CLASSES, LAYERS = 64, 10, 8
BATCH_SIZE = 16
SEED = 0
OPTIMIZER: Mapping[str, Any] = {"lr": 0.01, "momentum": 0.9}  # of SGD
WARM_UP = 5  # steps before each window
WIDTHS = {"0.1M": 108, "1M": 349, "10M": 1114}
"""By the number of parameters, in `LAYERS` square layers of about an eighth of it each: DDP's buckets can overlap."""

SAMPLES = "RIPIENO_STEP_OVERHEAD_SAMPLES"


class Layers(Task):
    """As many training samples as the environment says: one pass over them is the whole run."""

    def model(self, width: int) -> nn.Module:
        hidden = [layer for _ in range(LAYERS) for layer in (nn.Linear(width, width), nn.ReLU())]
        return nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU(), *hidden, nn.Linear(width, CLASSES))

    def data(self, split: Split) -> TensorDataset:
        samples = int(os.environ[SAMPLES]) if split is Split.TRAIN else BATCH_SIZE
        return TensorDataset(torch.randn(samples, FEATURES), torch.randint(CLASSES, (samples,)))
