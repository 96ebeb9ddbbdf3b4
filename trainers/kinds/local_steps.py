"""Some steps of a worker's own before it answers: the way they went, as a gradient for the outer optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgspec
import torch
from torch import Tensor, nn, optim

from trainers.backward import Backward, backward, scales
from trainers.blocks import block_of
from trainers.context import Context
from trainers.flat import PARAMETERS, FlatModel
from trainers.kinds.gradient import require_finite, scaled
from trainers.kinds.kind import Json, Outputs
from trainers.mean import squared_norm
from trainers.optimizers import make_optimizer, memory_of, remember
from trainers.schedules import Scheduled
from trainers.tensors import Tensors


class LocalSteps(Backward, frozen=True, kw_only=True):
    """Block `block` of epoch `epoch`, both from 0, in blocks of `steps` >= 1 times `batch_size` >= 1 samples.

    optimizer: the inner one. clip_norm: > 0, of each step's gradient. scheduled, model: see Aggregate, Init.
    """

    epoch: int
    block: int
    batch_size: int
    steps: int
    optimizer: dict[str, Any]
    model: dict[str, Any]
    clip_norm: float | None = None
    scheduled: Scheduled | None = None


def local_steps(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Inputs "weights" w, and "inner", what the inner optimizer remembers, if it does. Outputs "gradient": w - w' with
    the weights w' after the steps, and the buffers as they are then; and "inner", anew.

    Metrics: loss (mean over the block, each batch before its step), norm2 (‖w - w'‖²), samples and, of SGD, reach: how
        far the steps go along a gradient that stays the same.
    Raises:
        NonFinite, Interrupted, BlockMissing, WeightsMismatch: see `gradient`. ScheduleInvalid.
    Exact: the same as a plain loop of `zero_grad, loss.backward(), clip_grad_norm_, step`, bit for bit, up to the
        difference of the weights.
    Source: Douillard et al. 2023, DiLoCo, arXiv:2311.08105, algorithm 1.
    """
    asked = msgspec.convert(params, LocalSteps)
    model = context.model(asked.model)
    weights = inputs["weights"]
    indices = block_of(context.order(asked.epoch), asked.block, asked.batch_size * asked.steps)
    batches = torch.split(indices, asked.batch_size)
    for scale in scales(asked):
        model.load(weights)
        live, trainable = _inner(model, asked, inputs.get("inner", {}), context)
        loss = _taken(model, live, batches, asked, scale, context) / len(indices)
        update = model.weights()
        way = weights[PARAMETERS] - update[PARAMETERS]
        metrics = {"loss": loss, "norm2": squared_norm(way), "samples": float(len(indices))}
        if isfinite(metrics["norm2"]):
            break
    require_finite(metrics, asked.epoch, asked.block)
    if type(live) is optim.SGD:
        group = live.param_groups[0]
        metrics["reach"] = len(batches) * group["lr"] * (1 - group["dampening"]) / (1 - group["momentum"])
    return {"gradient": {**update, PARAMETERS: way}, "inner": memory_of(live, trainable)}, metrics | scaled(
        asked, scale
    )


def _inner(
    model: FlatModel, asked: LocalSteps, memory: Tensors, context: Context
) -> tuple[optim.Optimizer, dict[int, nn.Parameter]]:
    """The inner optimizer as it was left, and what it steps by its index in the layout."""
    trainable = {number: value for number, value in enumerate(model.module.parameters()) if value.requires_grad}
    live = make_optimizer(asked.optimizer, list(trainable.values()))
    remember(live, trainable, memory)
    if asked.scheduled is not None:
        options = context.scheduled(asked.scheduled, asked.optimizer)
        for group in live.param_groups:
            group.update(options)
    return live, trainable


def _taken(
    model: FlatModel,
    live: optim.Optimizer,
    batches: tuple[Tensor, ...],
    asked: LocalSteps,
    scale: float,
    context: Context,
) -> float:
    """Trains along the batches; returns the sum of the samples' losses, each before its step."""
    total = 0.0
    model.train()
    with context.randomness():
        for indices in batches:
            live.zero_grad()
            total += backward(model, indices, asked, scale, context) * len(indices)
            if asked.clip_norm is not None:
                nn.utils.clip_grad_norm_(live.param_groups[0]["params"], asked.clip_norm)
            live.step()
    live.zero_grad()
    return total
