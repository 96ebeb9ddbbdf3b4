"""What federations with and without rounds share: their settings, what they ask, and the figures of a version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from orchestrator.records import Cause, Json, Ref

NONE = Ref("")

COMES_BACK = (Cause.LOST_WORKER, Cause.LOST_NODE, Cause.PREEMPTED, Cause.TIMEOUT)
"""Why a real site may fail and be asked again before the next version."""

NOT_SHOWN = ("sum_norm2", "mean_norm2")
"""Figures of a round that are for the quorum only."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """rounds: >= 1, versions of the weights to make. needed: results of a round, >= 1. asked: clients, >= needed.

    evaluate_every: rounds between evaluations on validation data, >= 1.
    """

    rounds: int
    needed: int
    asked: int
    evaluate_every: int = 1


@dataclass(frozen=True, slots=True)
class FederationSettings:
    """What a user asked for.

    seed: the run's; decides which clients are asked. population: clients in all, >= 1.
    partition: of the training samples among simulated clients, as `trainers.data.partition` describes it; None: every
        worker is a client with data of its own, and min_workers >= 1 of them are there before a round begins.
    local: what a client does, {"epochs", "batch_size"}. optimizer: {"name", "lr", …}; its lr is multiplied by `decay`,
        in (0, 1], from round to round.
    rule: of aggregation, {"name", its options}. control: whether clients keep SCAFFOLD's controls.
    proxy: the server's own samples, {"split", "samples"}. model: arguments of the task's model().
    started: from the weights START; else from fresh ones.
    """

    seed: int
    rounds: Rounds
    population: int
    partition: Mapping[str, Json] | None
    local: Mapping[str, Json]
    optimizer: Mapping[str, Any]
    rule: Mapping[str, Json]
    proxy: Mapping[str, Json]
    decay: float = 1.0
    control: bool = False
    model: Mapping[str, Any] = field(default_factory=dict)
    started: bool = False
    min_workers: int = 1

    @property
    def simulated(self) -> bool:
        return self.partition is not None


@dataclass(slots=True)
class Sent:
    """An update that came in; base: the weights that its client started from, of `version`.

    state, before: what the client remembers now and remembered then, NONE: nothing.
    """

    work_id: int
    client: str
    version: int
    update: Ref
    base: Ref
    metrics: dict[str, float]
    state: Ref = NONE
    before: Ref = NONE

    def refs(self) -> Iterable[Ref]:
        return (self.update, self.base, self.state, self.before)


def local_params(settings: FederationSettings, client: str, version: int) -> Mapping[str, Json]:
    """Of "local_update": what a client is to do with the weights of a version, counted from 0."""
    simulated = {"number": int(client), "partition": settings.partition} if settings.simulated else None
    optimizer = {**settings.optimizer, "lr": settings.optimizer["lr"] * settings.decay**version}
    return {
        **settings.local,
        "client": client,
        "simulated": simulated,
        "optimizer": optimizer,
        "control": settings.control,
    }


def combine_inputs(sent: Sequence[Sent], weights: Ref, server: Ref) -> Mapping[str, Ref]:
    """Of "combine"."""
    inputs = {"weights": weights, "server": server}
    for one in sent:
        inputs[f"update.{one.work_id}"] = one.update
        inputs[f"base.{one.work_id}"] = one.base if one.base != weights else NONE
        inputs[f"client.{one.work_id}"] = one.state
        inputs[f"before.{one.work_id}"] = one.before
    return {name: ref for name, ref in inputs.items() if ref}


def combine_params(settings: FederationSettings, sent: Sequence[Sent], version: int) -> Mapping[str, Json]:
    """Of "combine", which makes version + 1."""
    updates: Sequence[Json] = [
        {
            "id": one.work_id,
            "client": one.client,
            "samples": one.metrics["samples"],
            "staleness": version - one.version,
        }
        for one in sent
    ]
    return {"updates": updates, "rule": settings.rule, "population": settings.population, "proxy": settings.proxy}


def figures(version: int, sent: Sequence[Sent], combined: Mapping[str, float]) -> dict[str, float]:
    """Of the row of a version, counted from 1: how the clients' losses spread, and what the rule says.

    loss: mean of the clients' own, each by its samples; loss_sd: between clients, unweighted.
    """
    losses = [one.metrics["loss"] for one in sent]
    samples = [one.metrics["samples"] for one in sent]
    mean = sum(losses) / len(losses)
    return {
        "round": float(version),
        "loss": sum(loss * count for loss, count in zip(losses, samples, strict=True)) / sum(samples),
        "loss_sd": sqrt(sum((loss - mean) ** 2 for loss in losses) / len(losses)),
        "loss_min": min(losses),
        "loss_max": max(losses),
        **{name: figure for name, figure in combined.items() if name not in NOT_SHOWN},
    }


def gradient_signals(sent: Sequence[Sent], combined: Mapping[str, float]) -> Mapping[str, float]:
    """For the quorum: a client's update is the mean of its gradients times how far its steps reach.

    So gᵢ = Δᵢ / reach, in loss per weight, and the step of the weights along their mean has learning rate `reach`.
    Nothing, if clients do not step by SGD: then nobody knows how far they reach.
    """
    if not all("reach" in one.metrics for one in sent):
        return {}
    reach = sum(one.metrics["reach"] for one in sent) / len(sent)
    samples = sum(one.metrics["samples"] for one in sent)
    return {
        "loss": sum(one.metrics["first_loss"] * one.metrics["samples"] for one in sent) / samples,
        "k": float(len(sent)),
        "sum_norm2": combined["sum_norm2"] / reach**2,
        "norm2": combined["mean_norm2"] / reach**2,
        "learning_rate": reach,
    }
