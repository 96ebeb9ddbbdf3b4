"""What a user writes: a model, its data, a loss and metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset


class Split(StrEnum):
    """A part of the data: learnt from, watched during training, judged by at the end."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Task(ABC):
    """What to train. Made without arguments, once in every process; all its methods must be repeatable.

    A batch is what torch's `default_collate` makes of the data set's samples, on the device of the model: for samples
    (inputs, target) it is a pair, inputs [B, …] and targets [B].
    """

    @abstractmethod
    def model(self, *args: Any, **arguments: Any) -> nn.Module:
        """A new model, freshly initialised from torch's global generator, which is seeded before the call.

        Give the arguments names and defaults; the spec's `model:` sets them. Parameters share one float dtype.
        """

    @abstractmethod
    def data(self, split: Split) -> Dataset[Any]:
        """A map-style data set (`len` and indexing), the same on every machine. Called once a process and split."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """What training lowers: a scalar, the mean over the batch. Default: cross entropy of a classifier."""
        inputs, targets = batch
        return cross_entropy(model(inputs), targets)

    def metrics(self, model: nn.Module, batch: Any) -> dict[str, float]:
        """Figures of an evaluation, each a mean over the batch; the model is in eval mode, gradients are off.

        Default: accuracy in [0, 1] of a classifier whose outputs are [B, classes, …], and the loss.
        """
        inputs, targets = batch
        outputs = model(inputs)
        own_loss = type(self).loss is not Task.loss
        loss = self.loss(model, batch) if own_loss else cross_entropy(outputs, targets)
        return {
            "accuracy": (outputs.argmax(dim=1) == targets).double().mean().item(),
            "loss": loss.item(),
        }
