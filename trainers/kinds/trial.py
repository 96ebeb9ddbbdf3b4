"""A segment of one trial: training with its own settings from one budget to the next, then its validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import ceil, isfinite
from typing import Any

import msgspec
import torch
from torch import nn

from trainers.blocks import block_of, blocks_per_epoch
from trainers.context import Context
from trainers.flat import PARAMETERS, FlatModel
from trainers.kinds.evaluate import evaluate
from trainers.kinds.kind import Json, Outputs
from trainers.mean import squared_norm
from trainers.optimizers import make_optimizer, memory_of, remember
from trainers.randomness import derive
from trainers.task import Split
from trainers.tensors import Tensors

CLOSE = 1e-9  # of a step: what rounding can make of a budget that ends on one


class Trial(msgspec.Struct, frozen=True):
    """From epoch `start` >= 0 to `end` > start of the trial's own order of the training data; fractions are allowed.

    number: of the trial; its order and all chance are a function of (the run's seed, number, step). first: which first
    weights, a function of (the run's seed, first); 0: those that `init` makes. Trials that share them can be merged.
    batch_size: samples of one step. clip_norm: > 0, of each gradient; None: no clipping.
    validation: samples to validate on, the first ones of that split; 0: all. model, optimizer: see Init.
    """

    number: int
    start: float
    end: float
    batch_size: int
    optimizer: dict[str, Any]
    clip_norm: float | None
    validation: int
    model: dict[str, Any]
    first: int = 0


def trial(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Inputs "weights" and "optimizer", the outputs of a segment that ended at `start`; neither: it begins afresh;
    weights alone: it begins from these.

    Outputs "weights" and "optimizer". Metrics: train_loss (mean over the segment's samples), samples (of the segment),
    diverged (0 or 1), and the task's on validation data, as validation_<name>.
    A loss, the weights or a validation metric that is NaN or Inf is a result, not a failure: diverged is 1, there are
    no outputs, no train_loss and no validation metrics, and samples counts those up to there. So is a model that does
    not fit: out_of_memory is 1, and there is nothing else.

    Exact: a segment from a to b and one from b to c give the bits of one from a to c.
    Raises:
        WeightsMismatch: the weights are another model's. OptimizerInvalid, ModelUnsupported, BlockMissing.
    Cost: that of the model's steps, 0.2 ms each beside them, and one forward pass of the validation samples.
    """
    asked = msgspec.convert(params, Trial)
    try:
        return _segment(asked, inputs, context)
    except (MemoryError, torch.OutOfMemoryError):
        return {}, {"out_of_memory": 1.0}


def steps_by(epochs: float, per_epoch: int) -> int:
    """Steps of a trial that has trained for `epochs`."""
    return ceil(epochs * per_epoch - CLOSE)


def _segment(asked: Trial, inputs: Mapping[str, Tensors], context: Context) -> Outputs:
    samples = {split: context.samples(split) for split in (Split.TRAIN, Split.VALIDATION)}  # the data are the run's own
    own = replace(context, seed=derive(context.seed, "trial", asked.number))
    model = own.model(asked.model)
    model.load(inputs["weights"] if "weights" in inputs else _first_weights(asked, context))
    parameters = dict(enumerate(model.module.parameters()))
    parameters = {number: parameters[number] for number, piece in enumerate(model.layout.pieces) if piece.trainable}
    optimizer = make_optimizer(asked.optimizer, list(parameters.values()))
    remember(optimizer, parameters, inputs.get("optimizer", {}))
    seen, total = 0, 0.0
    model.train()
    for size, loss in _steps(asked, own, model, optimizer):
        seen, total = seen + size, total + size * loss
    weights = model.weights()
    metrics = {"diverged": 0.0, "samples": float(seen)}
    if not (isfinite(total) and isfinite(squared_norm(weights[PARAMETERS]))):
        return {}, {**metrics, "diverged": 1.0}
    figures: Mapping[str, float] = {}
    if count := min(asked.validation or samples[Split.VALIDATION], samples[Split.VALIDATION]):
        validation: dict[str, Json] = {"split": Split.VALIDATION, "start": 0, "count": count, "model": asked.model}
        _, figures = evaluate({"weights": weights}, validation, own)
        if not all(isfinite(figure) for figure in figures.values()):
            return {}, {**metrics, "diverged": 1.0}
    metrics.update({f"validation_{name}": value for name, value in figures.items() if name != "samples"})
    if seen:
        metrics["train_loss"] = total / seen
    return {"weights": weights, "optimizer": memory_of(optimizer, parameters)}, metrics


def _first_weights(asked: Trial, context: Context) -> Tensors:
    seed = derive(context.seed, "first weights", asked.first) if asked.first else context.seed
    return replace(context, seed=seed).new_model(asked.model).weights()


def _steps(
    asked: Trial, own: Context, model: FlatModel, optimizer: torch.optim.Optimizer
) -> Iterator[tuple[int, float]]:
    """Trains; yields samples and loss of each step, a loss that is not finite being the last."""
    per_epoch = blocks_per_epoch(own.samples(Split.TRAIN), asked.batch_size)
    for step in range(steps_by(asked.start, per_epoch), steps_by(asked.end, per_epoch)):
        epoch, block = divmod(step, per_epoch)
        indices = block_of(own.order(epoch), block, asked.batch_size)
        with own.for_work(step).randomness():
            optimizer.zero_grad()
            loss = own.task.loss(model.module, own.batch(Split.TRAIN, indices))
            torch.autograd.backward(loss)
        figure = loss.item()
        yield len(indices), figure
        if not isfinite(figure):
            return
        if asked.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.module.parameters(), asked.clip_norm)
        optimizer.step()
    optimizer.zero_grad()
