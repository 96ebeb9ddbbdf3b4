"""A learning-rate range test: how large the steps may be with batches of a size before training breaks down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from trainers.backward import Backward, backward, scales
from trainers.context import Context
from trainers.flat import FlatModel
from trainers.kinds.gradient import fits
from trainers.kinds.kind import Json, Outputs
from trainers.optimizers import make_optimizer
from trainers.tensors import Tensors

SMOOTHING = 0.8  # of the loss, from step to step
BROKEN = 2.0  # times the lowest loss: it only grows from there


class RangeTest(Backward, frozen=True, kw_only=True):
    """`steps` >= 2 steps with batches of `batch_size` samples, at learning rates from `low` to `high`, geometric.

    optimizer, clip_norm, model: see Aggregate.
    """

    batch_size: int
    steps: int
    low: float
    high: float
    optimizer: dict[str, Any]
    model: dict[str, Any]
    clip_norm: float | None = None


def range_test(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Input "weights"; no outputs. Metrics: knee (the learning rate at which the smoothed loss was lowest), steps.

    Raises:
        Interrupted, WeightsMismatch, OptimizerInvalid.
    Cost: `steps` batches, fewer if the loss breaks down before; in float16 one more for each gradient that overflows.
    Source: Smith 2018, "A disciplined approach …: part 1", arXiv:1803.09820; the knee rule of Xu, Neglia, Sebastianelli
        2020, arXiv:2004.14696.
    """
    asked = msgspec.convert(params, RangeTest)
    model = context.model(asked.model)
    model.load(inputs["weights"])
    parameters = [parameter for parameter in model.module.parameters() if parameter.requires_grad]
    live = make_optimizer(asked.optimizer, parameters)
    order, smoothed, lowest, knee, number = context.order(0), 0.0, inf, asked.low, 0
    model.train()
    with context.randomness():
        for number in range(asked.steps):
            lr = asked.low * (asked.high / asked.low) ** (number / (asked.steps - 1))
            positions = torch.arange(number * asked.batch_size, (number + 1) * asked.batch_size) % len(order)
            loss = _backward(model, parameters, order[positions], asked, context)
            smoothed = SMOOTHING * smoothed + (1 - SMOOTHING) * loss
            level = smoothed / (1 - SMOOTHING ** (number + 1))
            if not isfinite(level) or level > BROKEN * lowest:
                break
            if level < lowest:
                lowest, knee = level, lr
            if asked.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, asked.clip_norm)
            for group in live.param_groups:
                group["lr"] = lr
            live.step()
    live.zero_grad()
    return {}, {"knee": knee, "steps": float(number)}


def _backward(
    model: FlatModel, parameters: Sequence[nn.Parameter], indices: Tensor, asked: RangeTest, context: Context
) -> float:
    """Leaves a gradient that did not overflow, if there is one, with the parameters; returns the loss."""
    for scale in scales(asked):
        model.module.zero_grad()
        loss = backward(model, indices, asked, scale, context)
        norm = nn.utils.get_total_norm(parameter.grad for parameter in parameters if parameter.grad is not None).item()
        if fits({"loss": loss, "norm2": norm * norm}):
            break
    return loss
