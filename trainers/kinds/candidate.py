"""A configuration tried for a few steps on a copy of its weights that is then thrown away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from math import isfinite
from typing import Any

import msgspec

from trainers.context import Context
from trainers.flat import PARAMETERS, FlatModel
from trainers.kinds.evaluate import evaluate
from trainers.kinds.kind import Json, Outputs
from trainers.mean import squared_norm
from trainers.norms import settle_statistics
from trainers.randomness import derive, seeded
from trainers.steps import Course, Rule, take_steps
from trainers.supernet import Outline, cut
from trainers.task import Split
from trainers.tensors import Tensors

SETTLING = 20  # batches for the statistics of batch norms


class Candidate(msgspec.Struct, frozen=True):
    """`steps` >= 1 from block `block` of epoch `epoch` on, then `count` >= 1 validation samples from `start` on.

    draw: number of the initial weights, of whatever input "shared" lacks, and of what dropout draws. So candidates of
    one update differ in nothing but their configuration. batch_size, clip_norm: see Trial. optimizer, model: see Init.
    """

    draw: int
    epoch: int
    block: int
    batch_size: int
    steps: int
    start: int
    count: int
    optimizer: dict[str, Any]
    clip_norm: float | None
    model: dict[str, Any]


def candidate(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Optional input "shared": weights to begin with, see `supernet`; without it they are fresh. No outputs.

    Metrics: steps taken, diverged (0 or 1), and the task's on those validation samples, as validation_<name>.
    A loss, a weight or a validation metric that is NaN or Inf is a result, not a failure: diverged is 1, and there are
    no validation metrics.
    Raises:
        SharingImpossible, OptimizerInvalid, ModelUnsupported, BlockMissing.
    Cost: that of the model's own steps, 30 µs each beside them, making the model, and the validation's forward passes.
    """
    asked = msgspec.convert(params, Candidate)
    seed = derive(context.seed, "candidate", asked.draw)
    course = Course(asked.epoch, asked.block, asked.batch_size, asked.steps)
    model = context.model(asked.model)
    model.load(_weights(asked, inputs, replace(context, seed=seed)))
    with seeded(seed, context.device):
        taken = take_steps(model, Rule(asked.optimizer, asked.clip_norm), course, context)
        batches = (context.batch(Split.TRAIN, indices) for indices in course.indices(context))
        settle_statistics(model.module, context.task, islice(batches, SETTLING))
    weights = model.weights()
    metrics = {"steps": float(taken.steps), "diverged": 1.0}
    if not (taken.finite and isfinite(squared_norm(weights[PARAMETERS]))):
        return {}, metrics
    validation: dict[str, Json] = {
        "split": Split.VALIDATION,
        "start": asked.start,
        "count": asked.count,
        "model": asked.model,
    }
    _, figures = evaluate({"weights": weights}, validation, context.for_work(asked.draw))
    if not all(isfinite(figure) for figure in figures.values()):
        return {}, metrics
    named = {f"validation_{name}": figure for name, figure in figures.items() if name != "samples"}
    return {}, {**named, **metrics, "diverged": 0.0}


def _weights(asked: Candidate, inputs: Mapping[str, Tensors], own: Context) -> Tensors:
    """Buffers are as the model was made: statistics belong to one architecture."""
    model: FlatModel = own.new_model(asked.model)
    weights = model.weights()
    if "shared" in inputs:
        return {**weights, PARAMETERS: cut(inputs["shared"], Outline.of(model))}
    return weights
