"""The gradient of the loss over one block of training data."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgspec

from trainers.backward import Backward, backward, scales
from trainers.blocks import block_of
from trainers.context import Context
from trainers.errors import NonFinite
from trainers.flat import PARAMETERS
from trainers.kinds.kind import Json, Outputs
from trainers.mean import squared_norm
from trainers.tensors import Tensors


class Gradient(Backward, frozen=True, kw_only=True):
    """Block `block` of epoch `epoch`, both from 0, in blocks of `batch_size` samples. model: see Init."""

    epoch: int
    block: int
    batch_size: int
    model: dict[str, Any]


def gradient(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Input "weights"; output "gradient": the gradient of the mean loss, and the buffers after the forward pass.

    Metrics: loss (mean over the block), norm2 (‖g‖², summed in float64), samples; in float16 also loss_scale, at which
        the gradient did not overflow.
    Raises:
        NonFinite: the loss or the gradient is NaN or Inf. Interrupted.
        BlockMissing, WeightsMismatch: this machine has other data, or builds another model.
    Cost: forward and backward, 0.3 ms, and 0.5 ms a million parameters.
    """
    asked = msgspec.convert(params, Gradient)
    model = context.model(asked.model)
    indices = block_of(context.order(asked.epoch), asked.block, asked.batch_size)
    room: Tensors | None = None  # taken late: what is let go meanwhile is free by then
    for scale in scales(asked):
        model.load(inputs["weights"])
        with context.randomness():
            model.train()
            loss = backward(model, indices, asked, scale, context)
        room = room or context.room(model.like())
        value = model.take_gradient(room)
        metrics = {"loss": loss, "norm2": squared_norm(value[PARAMETERS]), "samples": float(len(indices))}
        if fits(metrics):
            break
    require_finite(metrics, asked.epoch, asked.block)
    return {"gradient": value}, metrics | scaled(asked, scale)


def fits(metrics: Mapping[str, float]) -> bool:
    """Whether a smaller scale of the loss could change nothing: the gradient is finite, or the loss is not."""
    return isfinite(metrics["norm2"]) or not isfinite(metrics["loss"])


def scaled(how: Backward, scale: float) -> dict[str, float]:
    """The metric of the scale that was used."""
    return {"loss_scale": scale} if how.precision == "float16" else {}


def require_finite(metrics: Mapping[str, float], epoch: int, block: int) -> None:
    """Raises NonFinite unless loss and norm2 are finite."""
    for quantity, figure in (("loss", metrics["loss"]), ("gradient", metrics["norm2"])):
        if not isfinite(figure):
            raise NonFinite(quantity, epoch, block)
