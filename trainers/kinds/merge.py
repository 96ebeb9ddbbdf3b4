"""One model from several by a merge method: a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trainers.blocks import block_of
from trainers.context import Context
from trainers.kinds.kind import Json, Outputs
from trainers.merging import Kept, Plan, merge, method_of, of_model
from trainers.merging.statistics import re_estimate, tracked
from trainers.task import Split
from trainers.tensors import Tensors

BATCHES, BATCH_SIZE = 50, 128
"""Training data from which normalisation statistics are estimated anew."""


class Merge(msgspec.Struct, frozen=True):
    """method: its name. options: those that are not to be its defaults. sources: how many. model: see Init."""

    method: str
    options: dict[str, Any]
    sources: int
    model: dict[str, Any]


def merge_models(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Inputs "source.0" … and "base", flat or state_dict-style; output "weights".

    A model with BatchNorm gets its running statistics from up to 50 batches of training data. Metrics: none.
    Raises:
        MergeError: no such method or option, or a method that cannot merge so many.
        WeightsMismatch: a source is another model's.
    Exact: the order of the sources is that of their numbers.
    """
    asked = msgspec.convert(params, Merge)
    method = method_of(asked.method)
    method.require_sources(asked.sources, with_base="base" in inputs)
    model = context.model(asked.model)
    sources = [of_model(name, model.layout, inputs[name]) for name in map("source.{}".format, range(asked.sources))]
    base = of_model("base", model.layout, inputs["base"]) if method.needs_base else None
    kept = Kept()
    merge(Plan(method, method.options(asked.options), tuple(sources), base), kept)
    weights: Tensors = model.layout.flattened(kept.tensors)
    if tracked(model.module):
        model.load(weights)
        whole = max(1, context.samples(Split.TRAIN) // BATCH_SIZE)  # a last, shorter block would weigh as much
        blocks = range(min(BATCHES, whole))
        indices = (block_of(context.order(0), block, BATCH_SIZE) for block in blocks)
        with context.randomness():
            re_estimate(model.module, context.task, (context.batch(Split.TRAIN, block) for block in indices))
        weights = model.weights()
    return {"weights": weights}, {}
