"""The best weighted mean of several models' predictions, as one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import torch

from trainers.building import MEMBERS
from trainers.context import Context
from trainers.flat import BUFFER, Layout
from trainers.kinds.kind import Json, Outputs
from trainers.merging.ensemble import Ensemble, ensemble_weights
from trainers.tensors import Tensors


class EnsembleOf(msgspec.Struct, frozen=True):
    """members: the arguments of the task's model() of each."""

    members: list[dict[str, Any]]


def ensemble(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Inputs "source.0" … and "predictions.0" …, of the same samples; output "weights": of the model with the
    arguments {"ensemble.members": members}, see `build_model`.

    Metrics: weight.0 …, >= 0, sum 1: the exact minimum of the squared error on those samples.
    Raises:
        PredictionsInvalid: the members predict other classes. WeightsMismatch: a source is another model's.
    """
    asked = msgspec.convert(params, EnsembleOf)
    numbers = range(len(asked.members))
    targets = inputs["predictions.0"]["targets"]
    weights = ensemble_weights([inputs[f"predictions.{number}"]["probabilities"] for number in numbers], targets)
    whole = context.model({MEMBERS: asked.members})
    assert isinstance(whole.module, Ensemble)
    state = {}
    for number, member in zip(numbers, whole.module.members, strict=True):
        tensors = Layout.of(member).distinct(inputs[f"source.{number}"])
        state.update({f"members.{number}.{name}": tensor for name, tensor in tensors.items()})
    state["weights"] = weights.to(torch.float32)
    value = whole.layout.flattened(state)
    assert BUFFER + "weights" in value
    return {"weights": value}, {f"weight.{number}": float(weights[number]) for number in numbers}
