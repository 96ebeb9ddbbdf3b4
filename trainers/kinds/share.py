"""Shared weights of many architectures: made, and trained along with those that were drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from trainers.context import Context
from trainers.flat import PARAMETERS
from trainers.kinds.kind import Json, Outputs
from trainers.randomness import derive
from trainers.steps import Course, Rule, take_steps
from trainers.supernet import Outline, cut, first_shared, scatter, shared_shapes
from trainers.tensors import Tensors


class Share(msgspec.Struct, frozen=True):
    """`steps` >= 0 of each of `models` from block `block` of epoch `epoch` on, with an optimizer that starts anew.

    models: arguments of the task's model(), those that were drawn. all_models: those of every architecture, needed
    where input "shared" is missing. draw: number of the initial weights. batch_size, clip_norm: see Trial.
    """

    draw: int
    epoch: int
    block: int
    batch_size: int
    steps: int
    models: list[dict[str, Any]]
    all_models: list[dict[str, Any]]
    optimizer: dict[str, Any]
    clip_norm: float | None


def share(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Input "shared", or none: then it is made anew; output "shared", see `supernet`.

    Each model steps on a copy of its part, and where several have a number it becomes the mean of theirs: with one step
    of SGD that is one step along the mean of the gradients of those that use it. A model whose loss or weights became
    NaN or Inf is left out, so that a bad draw cannot ruin what is shared.
    Metrics: loss (mean over the models' last blocks, of those that are used; absent if none is), used (how many), steps
        (taken in all).
    Raises:
        SharingImpossible, OptimizerInvalid.
    Exact: what no model uses stays bit for bit, whatever the optimizer's momentum and weight decay.
    Cost: models · steps steps, one after another; making it anew builds every architecture, two of them at a time.
    """
    asked = msgspec.convert(params, Share)
    shared = inputs["shared"] if "shared" in inputs else _made(asked, context)
    course = Course(asked.epoch, asked.block, asked.batch_size, asked.steps)
    rule = Rule(asked.optimizer, asked.clip_norm)
    parts, losses, steps = [], [], 0
    for arguments in asked.models:
        model = context.new_model(arguments)
        outline = Outline.of(model)
        model.load({**model.weights(), PARAMETERS: cut(shared, outline)})
        with context.randomness():
            taken = take_steps(model, rule, course, context)
        steps += taken.steps
        flat = model.weights()[PARAMETERS]
        if taken.finite and bool(flat.isfinite().all()):
            parts.append((outline, flat))
            losses.append(taken.loss)
    metrics = {
        "used": float(len(parts)),
        "steps": float(steps),
        **({"loss": sum(losses) / len(losses)} if losses and asked.steps else {}),
    }
    return {"shared": scatter(shared, parts)}, metrics


def _made(asked: Share, context: Context) -> Tensors:
    drawn = replace(context, seed=derive(context.seed, "shared", asked.draw))
    outlines = [Outline.of(drawn.new_model(arguments)) for arguments in asked.all_models]
    by_size = sorted(range(len(outlines)), key=lambda number: outlines[number].layout.size)
    models = (drawn.new_model(asked.all_models[number]) for number in by_size)
    return first_shared(shared_shapes(outlines), models)
