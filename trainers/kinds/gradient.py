"""The gradient of the loss over one block of training data."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgspec
import torch

from trainers.blocks import block_of
from trainers.context import Context
from trainers.errors import NonFinite
from trainers.flat import PARAMETERS
from trainers.kinds.kind import Json, Outputs
from trainers.mean import squared_norm
from trainers.task import Split
from trainers.tensors import Tensors


class Gradient(msgspec.Struct, frozen=True):
    """Block `block` of epoch `epoch`, both from 0, in blocks of `batch_size` samples. model: see Init."""

    epoch: int
    block: int
    batch_size: int
    model: dict[str, Any]


def gradient(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Input "weights"; output "gradient": the gradient of the mean loss, and the buffers after the forward pass.

    Metrics: loss (mean over the block), norm2 (‖g‖², summed in float64), samples.
    Raises:
        NonFinite: the loss or the gradient is NaN or Inf.
        BlockMissing, WeightsMismatch: this machine has other data, or builds another model.
    Cost: forward and backward, 0.3 ms, and 0.5 ms a million parameters.
    """
    asked = msgspec.convert(params, Gradient)
    model = context.model(asked.model)
    model.load(inputs["weights"])
    indices = block_of(context.order(asked.epoch), asked.block, asked.batch_size)
    with context.randomness():
        model.module.train()
        loss = context.task.loss(model.module, context.batch(Split.TRAIN, indices))
        torch.autograd.backward(loss)
    value = model.take_gradient()
    metrics = {"loss": loss.item(), "norm2": squared_norm(value[PARAMETERS]), "samples": float(len(indices))}
    for quantity, figure in (("loss", metrics["loss"]), ("gradient", metrics["norm2"])):
        if not isfinite(figure):
            raise NonFinite(quantity, asked.epoch, asked.block)
    return {"gradient": value}, metrics
