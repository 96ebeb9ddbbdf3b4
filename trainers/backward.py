"""The gradient of a batch: in micro-batches, and in the precision that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, TypeAlias

import msgspec
import torch
from torch import Tensor

from trainers.context import Context
from trainers.errors import Interrupted
from trainers.flat import FlatModel
from trainers.task import Split

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]

AUTOCAST: Mapping[str, torch.dtype] = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Backward(msgspec.Struct, frozen=True, kw_only=True):
    """How a gradient is computed.

    micro_batch_size: >= 1, samples of one forward and backward pass; None: all of a batch at once.
    precision: of the passes, by torch.autocast; weights, gradients and sums stay in the model's own.
    loss_scale: >= 1, a power of two that the loss is multiplied by and the gradient divided by, so that small
        gradients survive float16; where the gradient overflows it is computed again with half of it.
    """

    micro_batch_size: int | None = None
    precision: Precision = "float32"
    loss_scale: float = 1.0


def scales(how: Backward) -> Iterator[float]:
    """What to scale the loss by, one after another until the gradient is finite: half as much each time, 1 at last."""
    scale = how.loss_scale
    while scale > 1:
        yield scale
        scale /= 2
    yield 1.0


def backward(model: FlatModel, indices: Tensor, how: Backward, scale: float, context: Context) -> float:
    """Leaves the gradient of the mean loss over these training samples with the model's parameters; returns that loss.

    scale: of the loss, for this time.

    The model is in the mode that it is in, its parameters have no gradient before. Micro-batches weigh by their
    samples, so that their number changes nothing but rounding, for models without batch normalisation and dropout.
    Exact: one micro-batch in float32 is `loss.backward()`, bit for bit.
    Raises:
        Interrupted: it was asked to stop; looked at before each micro-batch.
    """
    parts = torch.split(indices, how.micro_batch_size or len(indices))
    total = 0.0
    for number, part in enumerate(parts):
        if context.interrupted():
            raise Interrupted(number, len(parts))
        with _autocast(how.precision, context.device):
            loss = context.task.loss(model.module, context.batch(Split.TRAIN, part))
        share = len(part) / len(indices)
        factor = share * scale
        torch.autograd.backward(loss if factor == 1 else loss * factor)
        total += loss.item() * share
    if scale != 1:
        for parameter in model.module.parameters():
            if parameter.grad is not None:
                parameter.grad.div_(scale)
    return total


def _autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    return torch.autocast(device.type, AUTOCAST[precision]) if precision in AUTOCAST else nullcontext()
