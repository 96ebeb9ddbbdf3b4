"""Epochs of ordinary training in one process: what a client does with its samples, and fine-tuning on a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainers.flat import FlatModel
from trainers.optimizers import make_optimizer
from trainers.shuffled import Shuffled
from trainers.task import Task


@dataclass(frozen=True, slots=True)
class Plan:
    """epochs: >= 0 passes over the samples. optimizer: its name and options; it starts without memory."""

    epochs: int
    optimizer: Mapping[str, Any]


class Trained(NamedTuple):
    """losses: float64 [steps], the mean of each batch before its step. sizes: samples of each. epochs: as planned."""

    losses: Tensor
    sizes: Tensor
    epochs: int

    @property
    def steps(self) -> int:
        return len(self.losses)

    @property
    def last_epoch_loss(self) -> float:
        """Mean over the samples of the last epoch; NaN without one."""
        start = self.steps - self.steps // max(self.epochs, 1)
        losses, sizes = self.losses[start:], self.sizes[start:]
        return float((losses * sizes).sum() / sizes.sum())


def train_epochs(model: FlatModel, task: Task, data: Shuffled, plan: Plan, correction: Tensor | None = None) -> Trained:
    """Trains the model's present weights, in place, in train mode.

    correction: [P], added to every gradient (SCAFFOLD's c - cᵢ); None: nothing is.
    Exact: the same as a plain loop of `zero_grad, loss.backward(), step` over the same batches, bit for bit.
    Call it within `context.randomness()`, which dropout draws from.
    Raises:
        OptimizerInvalid.
    Cost: 20 µs a batch beside the model's own.
    """
    trained = [number for number, piece in enumerate(model.layout.pieces) if piece.trainable]
    every = list(model.module.parameters())
    parameters = [every[number] for number in trained]
    optimizer = make_optimizer(plan.optimizer, parameters)
    shaped = None if correction is None else list(model.layout.views(correction.to(parameters[0].device)))
    model.train()
    losses, sizes = [], []
    for epoch in range(plan.epochs):
        for size, batch in data.epoch(epoch):
            optimizer.zero_grad()
            loss = task.loss(model.module, batch)
            torch.autograd.backward(loss)
            if shaped is not None:
                _correct(parameters, [shaped[number] for number in trained])
            optimizer.step()
            losses.append(loss.detach())
            sizes.append(size)
    optimizer.zero_grad()
    flat = torch.stack(losses).cpu().double() if losses else torch.empty(0, dtype=torch.float64)
    return Trained(flat, torch.tensor(sizes, dtype=torch.float64), plan.epochs)


def effective_steps(optimizer: Mapping[str, Any], steps: int) -> float:
    """How far `steps` steps of SGD go along a constant gradient, in units of lr times that gradient.

    Without momentum, `steps`; with momentum ρ, (K - ρ·(1 - ρ^K)/(1 - ρ))/(1 - ρ).
    """
    momentum, dampening = float(optimizer.get("momentum", 0.0)), float(optimizer.get("dampening", 0.0))
    nesterov = bool(optimizer.get("nesterov", False))
    velocity = distance = 0.0
    for step in range(steps):
        velocity = momentum * velocity + (1 - dampening) if step and momentum else 1.0
        distance += 1.0 + momentum * velocity if nesterov else velocity
    return distance


def _correct(parameters: list[torch.nn.Parameter], correction: list[Tensor]) -> None:
    for parameter, term in zip(parameters, correction, strict=True):
        if parameter.grad is not None:
            parameter.grad.add_(term)
