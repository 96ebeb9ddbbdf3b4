"""A client's part of a federated round: some epochs on its own samples, from the weights that it is given."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, sqrt
from typing import Any

import msgspec
import torch
from torch import Tensor

from trainers.context import Context
from trainers.data.partition import Partition
from trainers.errors import ClientDiverged
from trainers.flat import PARAMETERS
from trainers.kinds.kind import Json, Outputs
from trainers.local_training import Plan, Trained, effective_steps, train_epochs
from trainers.mean import squared_distance, weighted_sum
from trainers.shuffled import Shuffled
from trainers.task import Split
from trainers.tensors import Tensors


class Simulated(msgspec.Struct, frozen=True):
    """Client `number` of a partition, from 0."""

    number: int
    partition: Partition


class LocalUpdate(msgspec.Struct, frozen=True):
    """`epochs` >= 1 in batches of `batch_size` >= 1, with an optimizer that starts anew.

    client: its name. simulated: which of this machine's training samples are its own; None: all are, it is a real site.
    control: whether to do SCAFFOLD's part too; SGD only. optimizer, model: see Init.
    """

    client: str
    simulated: Simulated | None
    epochs: int
    batch_size: int
    optimizer: dict[str, Any]
    model: dict[str, Any]
    control: bool = False


def local_update(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Input "weights"; output "update": the client's weights after its training, buffers included.

    With control: inputs "server" and "client", both optional, hold the controls c and cᵢ, zero at first; every gradient
    gets c - cᵢ added, and output "client" is the new cᵢ = cᵢ - c + (w - y)/(η·a), a: see `effective_steps`.
    Metrics: samples, loss (mean over the last epoch), first_loss (of the incoming weights on the first batch), steps,
        update_norm (‖y - w‖) and, of SGD, reach (η·a: how far its steps go along a gradient that stays the same).
    Raises:
        ClientDiverged: a loss is NaN or Inf, or the weights have become it.
        WeightsMismatch: this machine builds another model. PartitionImpossible, LabelsMissing: it has other data.
    Cost: that of the model's own steps, and 60 µs each.
    """
    asked = msgspec.convert(params, LocalUpdate)
    model = context.model(asked.model)
    weights = inputs["weights"]
    model.load(weights)
    correction = _difference(inputs, weights[PARAMETERS]) if asked.control else None
    data = Shuffled(context, Split.TRAIN, _samples(asked, context), asked.batch_size)
    with context.randomness():
        trained = train_epochs(model, context.task, data, Plan(asked.epochs, asked.optimizer), correction)
    update = model.weights()
    norm2 = squared_distance(update[PARAMETERS], weights[PARAMETERS])
    _require_finite(asked, trained, norm2)
    metrics = {
        "samples": float(len(data.indices)),
        "loss": trained.last_epoch_loss,
        "first_loss": trained.losses[0].item(),
        "steps": float(trained.steps),
        "update_norm": sqrt(norm2),
    }
    if asked.optimizer["name"].lower() == "sgd":
        metrics["reach"] = asked.optimizer["lr"] * effective_steps(asked.optimizer, trained.steps)
    if correction is None:
        return {"update": update}, metrics
    flats = [weights[PARAMETERS], update[PARAMETERS], correction]
    control = weighted_sum(flats, [1 / metrics["reach"], -1 / metrics["reach"], -1.0])
    return {"update": update, "client": {PARAMETERS: control}}, metrics


def _samples(asked: LocalUpdate, context: Context) -> Tensor:
    if asked.simulated is None:
        return torch.arange(context.samples(Split.TRAIN))
    return context.clients(asked.simulated.partition)[asked.simulated.number]


def _difference(inputs: Mapping[str, Tensors], like: Tensor) -> Tensor:
    """c - cᵢ."""
    server, client = (inputs.get(name, {}).get(PARAMETERS) for name in ("server", "client"))
    difference = torch.zeros_like(like) if server is None else server.clone()
    return difference if client is None else difference.sub_(client)


def _require_finite(asked: LocalUpdate, trained: Trained, norm2: float) -> None:
    bad = (~trained.losses.isfinite()).nonzero()
    if len(bad) or not isfinite(norm2):
        step = int(bad[0]) if len(bad) else trained.steps - 1
        epoch, batch = divmod(step, trained.steps // asked.epochs)
        raise ClientDiverged(asked.client, epoch, batch)
