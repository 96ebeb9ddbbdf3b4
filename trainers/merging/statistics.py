"""Normalisation statistics of merged weights, estimated anew: those of the parents describe other activations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainers.task import Task


def tracked(module: nn.Module) -> list[_BatchNorm]:
    """Its layers that keep running statistics."""
    layers = (layer for layer in module.modules() if isinstance(layer, _BatchNorm))
    return [layer for layer in layers if layer.track_running_stats and layer.running_mean is not None]


def re_estimate(module: nn.Module, task: Task, batches: Iterable[Any]) -> None:
    """Sets the running means and variances to the mean over these batches; everything else is in eval mode meanwhile.

    Runs the task's loss, and throws it away. The module is left in eval mode.
    Source: Izmailov et al. 2018, arXiv:1803.05407.
    """
    layers = tracked(module)
    momenta = [layer.momentum for layer in layers]
    module.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over all batches
        layer.train()
    with torch.no_grad():
        for batch in batches:
            task.loss(module, batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    module.eval()
