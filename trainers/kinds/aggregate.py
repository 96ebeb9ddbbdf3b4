"""One step of the optimizer along the mean of the counted gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from torch import Tensor

from trainers.averaging import moved_towards, uniform_mean
from trainers.context import Context
from trainers.flat import BUFFER, PARAMETERS
from trainers.kinds.kind import Json, Outputs
from trainers.mean import squared_distance, squared_norm, step_statistics, weighted_mean
from trainers.schedules import Scheduled
from trainers.tensors import Tensors


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """gradients: work ids of the counted ones. samples: > 0, of each. clip_norm: > 0, of the mean gradient.

    keep_mean: also put out the mean. lr_factor: > 0, multiplies the learning rate, the scheduled one if there is one.
    ema: in (0, 1), how much of the averaged weights stays; None: there are none. lawa: inputs whose mean with the new
    weights is put out as "average". model, optimizer: see Init.
    """

    gradients: list[int]
    samples: list[float]
    optimizer: dict[str, Any]
    clip_norm: float | None
    keep_mean: bool
    model: dict[str, Any]
    scheduled: Scheduled | None = None
    lr_factor: float = 1.0
    ema: float | None = None
    lawa: list[str] | None = None


def aggregate(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Inputs "weights", "optimizer", "gradient.<work id>"s; outputs the new "weights" and "optimizer".

    The mean ḡ weights each gradient by its samples; so it does floating-point buffers, while all others come from the
    lowest work id. Then the gradient is clipped and the optimizer steps.

    Output "mean", if kept: {"parameters": ḡ before clipping}. Output "average", with `ema`: input "average", or the new
        weights if there is none, moved towards the new weights; with `lawa`: their mean with earlier ones.
    Metrics: norm2 (‖ḡ‖² before clipping), learning_rate (of this step) and, if the mean is kept,
        effective_learning_rate (see `Stepper`); with input "previous_weights" also step_norm2 = ‖Δ‖² and
        step_dot_gradient = ḡ·Δ, Δ = weights - previous weights; with "previous_mean" also change_norm2 = ‖ḡ - it‖².
    Raises:
        WeightsMismatch: a gradient or the weights are another model's. ScheduleInvalid: the schedule has ended.
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
    kept = {"mean": context.room({PARAMETERS: weights[PARAMETERS]})} if asked.keep_mean else {}
    mean = weighted_mean(
        [value[PARAMETERS] for value in gradients], samples, kept["mean"][PARAMETERS] if kept else None
    )
    metrics = {"norm2": squared_norm(mean), **_statistics(inputs, mean)}
    new = context.room(weights)
    new[PARAMETERS].copy_(weights[PARAMETERS])
    for name in layout.buffers:
        _mean_buffer(new[BUFFER + name], [value[BUFFER + name] for value in gradients], samples)
    stepper = context.stepper(asked.model, asked.optimizer)
    options = {**stepper.options, **_changed(asked, context, stepper.options["lr"])}
    state = stepper.step(
        new[PARAMETERS],
        mean.clone() if kept and asked.clip_norm is not None else mean,
        inputs["optimizer"],
        asked.clip_norm,
        options,
        context.room(inputs["optimizer"]),
    )
    metrics["learning_rate"] = float(options["lr"])
    if asked.keep_mean:
        metrics["effective_learning_rate"] = stepper.effective_learning_rate(kept["mean"][PARAMETERS], state, options)
    return {"weights": new, "optimizer": state, **kept, **_average(asked, inputs, new)}, metrics


def _changed(asked: Aggregate, context: Context, lr: float) -> Mapping[str, Any]:
    """The optimizer's options that are others in this step."""
    changed: dict[str, Any] = {"lr": lr}
    if asked.scheduled is not None:
        changed.update(context.scheduled(asked.scheduled, asked.optimizer))
    if asked.lr_factor != 1:
        changed["lr"] *= asked.lr_factor
    return changed


def _average(asked: Aggregate, inputs: Mapping[str, Tensors], new: Tensors) -> Mapping[str, Tensors]:
    if asked.lawa is not None:
        return {"average": uniform_mean([*(inputs[name] for name in asked.lawa), new])}
    if asked.ema is not None:
        return {"average": moved_towards(new, inputs.get("average", new), asked.ema)}
    return {}


def _statistics(inputs: Mapping[str, Tensors], mean: Tensor) -> dict[str, float]:
    metrics = {}
    if "previous_weights" in inputs:
        now, before = inputs["weights"][PARAMETERS], inputs["previous_weights"][PARAMETERS]
        metrics["step_norm2"], metrics["step_dot_gradient"] = step_statistics(mean, now, before)
    if "previous_mean" in inputs:
        metrics["change_norm2"] = squared_distance(mean, inputs["previous_mean"][PARAMETERS])
    return metrics


def _mean_buffer(into: Tensor, tensors: Sequence[Tensor], samples: Sequence[float]) -> None:
    if into.is_floating_point():
        weighted_mean(tensors, samples, into)
    else:
        into.copy_(tensors[0])
