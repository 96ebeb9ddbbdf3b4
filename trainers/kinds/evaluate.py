"""The task's metrics over a part of a split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import torch

from trainers.context import Context
from trainers.kinds.kind import Json, Outputs
from trainers.task import Split
from trainers.tensors import Tensors

BATCH = 250  # samples of one forward pass


class Evaluate(msgspec.Struct, frozen=True):
    """`count` >= 1 samples of `split` from sample `start` >= 0 on. model: see Init."""

    split: Split
    start: int
    count: int
    model: dict[str, Any]


def evaluate(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Input "weights"; no outputs. Metrics: those of the task, averaged over the samples, and samples.

    Raises:
        WeightsMismatch: the weights are another model's.
    """
    asked = msgspec.convert(params, Evaluate)
    model = context.model(asked.model)
    model.load(inputs["weights"])
    end = asked.start + asked.count
    sums: dict[str, float] = {}
    with context.randomness(), torch.no_grad():
        model.module.eval()
        for start in range(asked.start, end, BATCH):
            indices = torch.arange(start, min(start + BATCH, end))
            metrics = context.task.metrics(model.module, context.batch(asked.split, indices))
            for name, figure in metrics.items():
                sums[str(name)] = sums.get(str(name), 0.0) + float(figure) * len(indices)
    means = {name: total / asked.count for name, total in sums.items()}
    return {}, {**means, "samples": float(asked.count)}
