"""One step of the optimizer along the mean of the counted gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from torch import Tensor

from trainers.context import Context
from trainers.flat import BUFFER, PARAMETERS
from trainers.kinds.kind import Json, Outputs
from trainers.mean import squared_distance, squared_norm, step_statistics, weighted_mean
from trainers.tensors import Tensors


class Aggregate(msgspec.Struct, frozen=True):
    """gradients: work ids of the counted ones. samples: > 0, of each. clip_norm: > 0, of the mean gradient.

    keep_mean: also put out the mean. model, optimizer: see Init.
    """

    gradients: list[int]
    samples: list[float]
    optimizer: dict[str, Any]
    clip_norm: float | None
    keep_mean: bool
    model: dict[str, Any]


def aggregate(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Inputs "weights", "optimizer", "gradient.<work id>"s; outputs the new "weights" and "optimizer".

    The mean ḡ weights each gradient by its samples; so it does floating-point buffers, while all others come from the
    lowest work id. Then the gradient is clipped and the optimizer steps.

    Output "mean", if kept: {"parameters": ḡ before clipping}.
    Metrics: norm2 (‖ḡ‖² before clipping); with input "previous_weights" also step_norm2 = ‖Δ‖² and
        step_dot_gradient = ḡ·Δ, Δ = weights - previous weights; with "previous_mean" also change_norm2 = ‖ḡ - it‖².
    Raises:
        WeightsMismatch: a gradient or the weights are another model's.
    Exact: all sums in float64 and in order of work id, see `weighted_mean`; a single gradient takes the same step as
        `loss.backward(); clip_grad_norm_(…); optimizer.step()`, bit for bit. Inputs are not modified.
    """
    asked = msgspec.convert(params, Aggregate)
    layout = context.model(asked.model).layout
    counted = dict(sorted(zip(asked.gradients, asked.samples, strict=True)))
    values = {f"gradient.{work_id}": inputs[f"gradient.{work_id}"] for work_id in counted}
    weights = inputs["weights"]
    for what, value in {"weights": weights, **values}.items():
        layout.require_fits(what, value)
    gradients, samples = list(values.values()), list(counted.values())
    mean = weighted_mean([value[PARAMETERS] for value in gradients], samples)
    metrics = {"norm2": squared_norm(mean), **_statistics(inputs, mean)}
    flat = weights[PARAMETERS].clone()
    kept = {"mean": {PARAMETERS: mean.clone() if asked.clip_norm is not None else mean}} if asked.keep_mean else {}
    stepper = context.stepper(asked.model, asked.optimizer)
    state = stepper.step(flat, mean, inputs["optimizer"], asked.clip_norm)
    buffers = {
        BUFFER + name: _buffer([value[BUFFER + name] for value in gradients], samples) for name in layout.buffers
    }
    return {"weights": {PARAMETERS: flat, **buffers}, "optimizer": state, **kept}, metrics


def _statistics(inputs: Mapping[str, Tensors], mean: Tensor) -> dict[str, float]:
    metrics = {}
    if "previous_weights" in inputs:
        now, before = inputs["weights"][PARAMETERS], inputs["previous_weights"][PARAMETERS]
        metrics["step_norm2"], metrics["step_dot_gradient"] = step_statistics(mean, now, before)
    if "previous_mean" in inputs:
        metrics["change_norm2"] = squared_distance(mean, inputs["previous_mean"][PARAMETERS])
    return metrics


def _buffer(tensors: Sequence[Tensor], samples: Sequence[float]) -> Tensor:
    return weighted_mean(tensors, samples) if tensors[0].is_floating_point() else tensors[0].clone()
