"""What both systems train: a CNN on Fashion-MNIST. Imports torch alone, for the peer's environment has no more."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

WORKERS = 2
BATCH = 64  # samples of one gradient
LEARNING_RATE = 0.01  # plain SGD: slow enough that the target lies beyond several failures
PIXELS, LABELS = "pixels.pt", "labels.pt"


def model() -> nn.Module:
    """422,346 parameters, as in examples/fashion_mnist; a gradient takes 6 ms on one core."""
    return nn.Sequential(
        nn.Conv2d(1, 32, kernel_size=5, stride=2, padding=2),
        nn.GroupNorm(1, 32),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1),
        nn.GroupNorm(1, 64),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 49, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def load(folder: Path) -> tuple[Tensor, Tensor]:
    """Images uint8 [55000, 28, 28] and labels int64 [55000], mapped."""
    pixels, labels = (torch.load(folder / name, mmap=True, weights_only=True) for name in (PIXELS, LABELS))
    return pixels, labels


def normalised(pixels: Tensor) -> Tensor:
    """float32 [B, 1, 28, 28]."""
    return pixels.unsqueeze(1).float().sub_(72.88).div_(90.0)


def announce(folder: Path) -> None:
    """Leaves this process's id as a file's name, so that it can be killed."""
    (folder / "pids").mkdir(exist_ok=True)
    (folder / "pids" / str(os.getpid())).touch()
