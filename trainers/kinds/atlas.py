"""One model from several by coefficients learnt on training data: aTLAS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import Tensor

from trainers.blocks import block_of, blocks_per_epoch
from trainers.coefficients import Keep, Learning, learn
from trainers.context import Context
from trainers.flat import PARAMETERS
from trainers.kinds.kind import Json, Outputs
from trainers.merging.atlas import Atlas
from trainers.merging.recipes import ATLAS, atlas_options
from trainers.task import Split
from trainers.tensors import Tensors

JUDGED = 1000  # training samples, by which the coefficients that are kept are chosen
JUDGEMENTS = 5
BATCH = 250  # samples of one forward pass


class AtlasOf(msgspec.Struct, frozen=True):
    """options: of `atlas_options`, those that are not to be its defaults. sources: how many. model: see Init."""

    sources: int
    options: dict[str, Any]
    model: dict[str, Any]


def atlas(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Inputs "base" and "source.0" …, flat; output "weights", its buffers those of the base.

    Metrics: loss_before, loss_after (on training samples that the steps do not see, as far as there are any left),
        better (0: no coefficients were better than none, and the output is the base).
    Raises:
        OptionInvalid. WeightsMismatch: a source is another model's.
    Cost: a step is one forward and backward pass, and one pass over all task vectors.
    """
    asked = msgspec.convert(params, AtlasOf)
    model = context.model(asked.model)
    base, sources = inputs["base"], [inputs[f"source.{number}"] for number in range(asked.sources)]
    for name, value in inputs.items():
        model.layout.require_fits(name, value)
    combination = Atlas(model.layout, base[PARAMETERS], [source[PARAMETERS] for source in sources])
    objective = OnTraining(context, asked.model, base)
    how = atlas_options(**ATLAS.options(asked.options))
    settings = Learning(
        lr=how.lr,
        betas=(0.9, 0.999),
        weight_decay=how.weight_decay,
        keep=Keep.BEST,
        judge_every=max(1, how.steps // JUDGEMENTS),
    )
    with context.randomness():  # of the samples too, if they are drawn anew each time
        learnt = learn(combination, objective, objective.batches(how.steps, how.batch_size), settings)
    weights = {**base, PARAMETERS: combination.combine(learnt.scalars)}
    return {"weights": weights}, {
        "loss_before": learnt.before,
        "loss_after": learnt.after,
        "better": float(learnt.better),
    }


@dataclass(frozen=True, slots=True)
class OnTraining:
    """Flat parameters with the base's buffers, in eval mode, so that no buffer moves: the objective of learning."""

    context: Context
    arguments: Mapping[str, Any]
    base: Tensors

    def loss_and_gradient(self, weights: Tensor, batch: Any) -> tuple[float, Tensor]:
        model = self.context.model(self.arguments)
        model.load({**self.base, PARAMETERS: weights})
        model.module.eval()
        with self.context.randomness():
            loss = self.context.task.loss(model.module, batch)
            torch.autograd.backward(loss)
        return loss.item(), model.take_gradient()[PARAMETERS]

    def judge(self, weights: Tensor) -> float:
        """The mean loss over the last samples of the first epoch."""
        model = self.context.model(self.arguments)
        model.load({**self.base, PARAMETERS: weights})
        model.module.eval()
        last = self.context.order(0)[-JUDGED:]
        total = 0.0
        with self.context.randomness(), torch.no_grad():
            for indices in torch.split(last, BATCH):
                loss = self.context.task.loss(model.module, self.context.batch(Split.TRAIN, indices))
                total += loss.item() * len(indices)
        return total / len(last)

    def batches(self, steps: int, batch_size: int) -> Iterator[Any]:
        """From the first samples of the epochs on; those that judge are left out, where others remain."""
        samples = self.context.samples(Split.TRAIN)
        learnt_from = samples - JUDGED if samples > 2 * JUDGED else samples
        kept = self.context.order(0)[:learnt_from]
        per_epoch = blocks_per_epoch(learnt_from, batch_size)
        for step in range(steps):
            yield self.context.batch(Split.TRAIN, block_of(kept, step % per_epoch, batch_size))
