"""A few labelled samples that the server holds, and what can be learnt from them about a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainers.context import Context
from trainers.flat import PARAMETERS, FlatModel
from trainers.local_training import Plan, train_epochs
from trainers.shuffled import Shuffled
from trainers.task import Split
from trainers.tensors import Tensors

BATCH = 250  # samples of one forward pass


class Judgement(NamedTuple):
    """loss: the task's, mean over the proxy. accuracy: in [0, 1]; NaN if the task has no such metric."""

    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Proxy:
    """`samples` >= 1 of a split, all classes alike, drawn from the run's seed. Nothing is loaded before it is needed.

    arguments: of the task's model().
    Raises, whatever is called: LabelsMissing, SamplesMissing.
    """

    context: Context
    arguments: Mapping[str, Any]
    split: Split
    samples: int

    def loss_and_gradient(self, weights: Tensors, batch: Any) -> tuple[float, Tensor]:
        """Of a model in eval mode, so that no buffer moves; gradient [P]."""
        model = self._loaded(weights)
        model.module.eval()
        with self.context.randomness():
            loss = self.context.task.loss(model.module, batch)
            torch.autograd.backward(loss)
        return loss.item(), model.take_gradient()[PARAMETERS]

    def judge(self, weights: Tensors) -> Judgement:
        """In eval mode, over all samples."""
        task, model = self.context.task, self._loaded(weights)
        model.module.eval()
        loss = accuracy = 0.0
        with self.context.randomness(), torch.no_grad():
            for indices in torch.split(self._indices, BATCH):
                batch, share = self.context.batch(self.split, indices), len(indices) / self.samples
                loss += share * task.loss(model.module, batch).item()
                accuracy += share * task.metrics(model.module, batch).get("accuracy", float("nan"))
        return Judgement(loss, accuracy)

    def batches(self, batch_size: int, epochs: int) -> Iterator[Any]:
        """Of all epochs, one after another."""
        data = self._shuffled(batch_size)
        return (batch for epoch in range(epochs) for _, batch in data.epoch(epoch))

    def trained(self, weights: Tensors, batch_size: int, plan: Plan) -> Tensors:
        """The weights after some epochs of ordinary training on the proxy, in train mode."""
        model = self._loaded(weights)
        with self.context.randomness():
            train_epochs(model, self.context.task, self._shuffled(batch_size), plan)
        return model.weights()

    @property
    def _indices(self) -> Tensor:
        return self.context.balanced(self.split, self.samples)

    def _shuffled(self, batch_size: int) -> Shuffled:
        return Shuffled(self.context, self.split, self._indices, batch_size)

    def _loaded(self, weights: Tensors) -> FlatModel:
        model = self.context.model(self.arguments)
        model.load(weights)
        return model
