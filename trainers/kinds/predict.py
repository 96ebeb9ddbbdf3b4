"""What a classifier predicts on a part of a split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from torch import Tensor

from trainers.context import Context
from trainers.kinds.kind import Json, Outputs
from trainers.merging.errors import PredictionsInvalid
from trainers.task import Split
from trainers.tensors import Tensors

BATCH = 250  # samples of one forward pass


class Predict(msgspec.Struct, frozen=True):
    """`count` >= 1 samples of `split` from sample `start` >= 0 on. model: see Init."""

    split: Split
    start: int
    count: int
    model: dict[str, Any]


def predict(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Input "weights"; output "predictions": {"probabilities": [count, classes], "targets": int64 [count]}.

    Raises:
        PredictionsInvalid: a batch is no pair of inputs and class numbers, or the outputs are not [B, classes].
        WeightsMismatch: the weights are another model's.
    """
    asked = msgspec.convert(params, Predict)
    model = context.model(asked.model)
    model.load(inputs["weights"])
    end = asked.start + asked.count
    probabilities, labels = [], []
    with context.randomness(), torch.no_grad():
        model.module.eval()
        for start in range(asked.start, end, BATCH):
            batch = context.batch(asked.split, torch.arange(start, min(start + BATCH, end)))
            features, targets = _pair(batch)
            outputs = model.module(features)
            if not isinstance(outputs, Tensor) or outputs.dim() != 2:
                raise PredictionsInvalid("the model's outputs are not [batch, classes]")
            probabilities.append(outputs.softmax(dim=1).cpu())
            labels.append(targets.cpu())
    return {"predictions": {"probabilities": torch.cat(probabilities), "targets": torch.cat(labels)}}, {}


def _pair(batch: Any) -> tuple[Any, Tensor]:
    if isinstance(batch, tuple | list) and len(batch) == 2:
        features, targets = batch
        if isinstance(targets, Tensor) and targets.dtype == torch.int64 and targets.dim() == 1:
            return features, targets
    raise PredictionsInvalid("the task's batches are no pairs of inputs and class numbers")
