"""The defaults of a Task, and the one example of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from examples.fashion_mnist.task import ACTIVATIONS, FashionMnist
from tests.unit.trainers.tasks import Digits
from trainers import Split
from trainers.flat import Layout

BATCH = (torch.tensor([[2.0, 0.0], [0.0, 2.0], [3.0, 0.0]]), torch.tensor([0, 1, 1]))


class Doubled(Digits):
    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        return 2 * super().loss(model, batch)


def test_default_metrics_are_accuracy_and_the_tasks_own_loss() -> None:
    metrics = Digits().metrics(nn.Identity(), BATCH)
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["loss"] == Digits().loss(nn.Identity(), BATCH).item()
    assert Doubled().metrics(nn.Identity(), BATCH)["loss"] == pytest.approx(2 * metrics["loss"])


class WithoutFiles(FashionMnist):
    folder = Path("no such folder")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_example_falls_back_to_digits_where_there_are_no_files(activation: str) -> None:
    task = WithoutFiles()
    images, _ = task.data(Split.VALIDATION).batch_of(torch.arange(4))
    assert task.model(width=6, activation=activation)(images).shape == (4, 10)


def test_the_example_on_fashion_mnist_has_at_most_half_a_million_parameters(tmp_path: Path) -> None:
    class WithFiles(FashionMnist):
        folder = tmp_path

    model = WithFiles().model()
    assert Layout.of(model).size == 422_346
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
