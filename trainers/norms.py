"""Running statistics of batch norms after short training: made anew from a few batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainers.task import Task


def settle_statistics(module: nn.Module, task: Task, batches: Iterable[Any]) -> None:
    """Sets each batch norm's running mean and variance to the mean over the batches; nothing without batch norms.

    A running average that began at 0 and 1 still holds a part (1 - momentum)^steps of that, 12 % after twenty steps,
    and an evaluation would see it. Call it within `context.randomness()`. Cost: one forward pass a batch.
    """
    norms = [child for child in module.modules() if isinstance(child, _BatchNorm) and child.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a plain mean
    module.train()
    with torch.no_grad():
        for batch in batches:
            task.loss(module, batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
