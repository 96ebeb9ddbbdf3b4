"""Ordinary steps over consecutive blocks of the training data, in place, with an optimizer that lives as long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainers.blocks import block_of, blocks_per_epoch
from trainers.context import Context
from trainers.flat import FlatModel
from trainers.optimizers import make_optimizer
from trainers.task import Split


@dataclass(frozen=True, slots=True)
class Course:
    """`steps` >= 0 blocks of `batch_size` >= 1 training samples from block `block` of epoch `epoch` on, both from 0.

    Where an epoch ends the next begins: equal courses see equal samples, whatever is trained on them.
    """

    epoch: int
    block: int
    batch_size: int
    steps: int

    def indices(self, context: Context) -> Iterator[Tensor]:
        """The samples of each step, int64 [batch_size], fewer in an epoch's last block."""
        per_epoch = blocks_per_epoch(context.samples(Split.TRAIN), self.batch_size)
        for number in range(self.block, self.block + self.steps):
            further, block = divmod(number, per_epoch)
            yield block_of(context.order(self.epoch + further), block, self.batch_size)


@dataclass(frozen=True, slots=True)
class Rule:
    """How a step is taken. optimizer: its name and options; it starts without memory. clip_norm: > 0, of each gradient,
    or None."""

    optimizer: Mapping[str, Any]
    clip_norm: float | None = None


class Taken(NamedTuple):
    """steps: taken. loss: of the last one's block before it; NaN without one. finite: no loss was NaN or Inf."""

    steps: int
    loss: float
    finite: bool


def take_steps(model: FlatModel, rule: Rule, course: Course, context: Context) -> Taken:
    """Trains the model's present weights along the course, in train mode; stops before a loss that is not finite.

    Exact: the same as a plain loop of `zero_grad, loss.backward(), step`, bit for bit. What dropout draws comes from
        the global generators: open `context.randomness()` or `seeded` around it.
    Raises:
        OptimizerInvalid.
    Cost: 30 µs a step beside the model's own.
    """
    trainable = [parameter for parameter in model.module.parameters() if parameter.requires_grad]
    live = make_optimizer(rule.optimizer, trainable)
    model.train()
    taken, loss = 0, float("nan")
    for indices in course.indices(context):
        live.zero_grad()
        value = context.task.loss(model.module, context.batch(Split.TRAIN, indices))
        loss = value.item()
        if not isfinite(loss):
            break
        torch.autograd.backward(value)
        if rule.clip_norm is not None:
            nn.utils.clip_grad_norm_(trainable, rule.clip_norm)
        live.step()
        taken += 1
    live.zero_grad()
    return Taken(taken, loss, taken == course.steps)
