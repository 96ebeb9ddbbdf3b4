"""A small CNN on Fashion-MNIST as an objective of virtual training: weights go in and out as one vector."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from tests.unit.quorum.push_and_wait import Array
from trainers import Split
from trainers.data import Images, fashion_mnist

FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
CHECKED = 2_000  # samples of the loss that a run must get down to


class Cnn:
    """9,226 parameters; a batch of `batch` training images is drawn i.i.d. for each gradient."""

    def __init__(self, batch: int = 16) -> None:
        self._batch = batch
        self._model = _model()

    @cached_property
    def _images(self) -> Images:
        return fashion_mnist(Split.TRAIN, FOLDER)

    def start(self, random: np.random.Generator) -> Array:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(random.integers(2**31)))
            return _vector(parameters_to_vector(_model().parameters()))

    def gradients(self, weights: Array, k: int, random: np.random.Generator) -> tuple[Array, Array]:
        """Losses [k] and gradients [k, weights]."""
        self._load(weights)
        losses, gradients = [], []
        for _ in range(k):
            loss = self._loss(torch.from_numpy(random.integers(len(self._images), size=self._batch)))
            parts = torch.autograd.grad(loss, list(self._model.parameters()))
            losses.append(loss.item())
            gradients.append(_vector(parameters_to_vector(parts)))
        return np.array(losses), np.stack(gradients)

    def full_loss(self, weights: Array) -> float:
        """Of the first 2,000 training images."""
        self._load(weights)
        with torch.no_grad():
            return self._loss(torch.arange(CHECKED)).item()

    def _loss(self, indices: Tensor) -> Tensor:
        images, labels = self._images.batch_of(indices)
        return cross_entropy(self._model(images), labels)

    def _load(self, weights: Array) -> None:
        vector_to_parameters(torch.from_numpy(weights).float(), self._model.parameters())


def _model() -> nn.Module:
    return nn.Sequential(  # [B, 1, 28, 28]
        nn.Conv2d(1, 8, kernel_size=5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),  # [B, 784]
        nn.Linear(784, 10),
    )


def _vector(tensor: Tensor) -> Array:
    return tensor.detach().double().numpy()
