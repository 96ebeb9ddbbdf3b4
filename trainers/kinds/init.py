"""The first weights, and how much data there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trainers.context import Context
from trainers.kinds.kind import Json, Outputs
from trainers.task import Split
from trainers.tensors import Tensors


class Init(msgspec.Struct, frozen=True):
    """model: arguments of the task's model(). optimizer: its name and options."""

    model: dict[str, Any]
    optimizer: dict[str, Any]


def init(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Outputs "weights", as `torch.manual_seed(seed); task.model(…)` makes them, and "optimizer", its first state.

    Metrics: parameters, and train_samples, validation_samples, test_samples.
    Raises:
        ModelUnsupported, OptimizerInvalid, DataInvalid.
    """
    asked = msgspec.convert(params, Init)
    model = context.new_model(asked.model)
    outputs = {"weights": model.weights(), "optimizer": context.stepper(asked.model, asked.optimizer).first_state()}
    samples = {f"{split}_samples": float(context.samples(split)) for split in Split}
    return outputs, {"parameters": float(model.layout.size), **samples}
