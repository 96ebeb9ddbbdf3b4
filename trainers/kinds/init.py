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
    """model: arguments of the task's model(). optimizer: its name and options; None: nobody asks for its state.

    splits: those that this machine has, to count.
    """

    model: dict[str, Any]
    optimizer: dict[str, Any] | None = None
    splits: tuple[Split, ...] = tuple(Split)


def init(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Outputs "weights", as `torch.manual_seed(seed); task.model(…)` makes them, and "optimizer", its first state.

    Input "given", if there is one: a state_dict that the weights are taken from instead.
    Metrics: parameters, and train_samples, validation_samples, test_samples, as far as they are asked for.
    Raises:
        ModelUnsupported, OptimizerInvalid, DataInvalid. WeightsMismatch: what was given is another model's.
    """
    asked = msgspec.convert(params, Init)
    model = context.new_model(asked.model)
    weights = model.layout.flattened(inputs["given"]) if "given" in inputs else model.weights()
    outputs = {"weights": weights}
    if asked.optimizer is not None:
        outputs["optimizer"] = context.stepper(asked.model, asked.optimizer).first_state()
    samples = {f"{split}_samples": float(context.samples(split)) for split in asked.splits}
    return outputs, {"parameters": float(model.layout.size), **samples}
