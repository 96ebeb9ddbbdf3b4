"""The verb `train`."""

from __future__ import annotations

from math import ceil
from typing import Any

from orchestrator.goal import Goal
from orchestrator.local import Local
from orchestrator.protocols import Quorum
from orchestrator.spec import Spec, Train
from orchestrator.strategies import SyncTraining, SyncTrainingSettings
from orchestrator.verbs.quorums import quorum_name, quorum_of
from orchestrator.verbs.verb import Pairs, Verb
from trainers import Split

WANT_GRADIENT_STATISTICS = ("dynamic", "dbw")


def _section(spec: Spec) -> Train:
    assert spec.train is not None
    return spec.train


def _strategy(spec: Spec) -> SyncTraining:
    train = _section(spec)
    optimizer: dict[str, Any] = {"name": train.optimizer.name, **train.optimizer.options}
    return SyncTraining(
        SyncTrainingSettings(
            batch_size=train.batch_size,
            epochs=train.epochs,
            optimizer=optimizer,
            clip_norm=train.clip_norm,
            model=train.model,
            evaluate_every=train.evaluate_every.model_dump(),
            gradient_statistics=train.quorum in WANT_GRADIENT_STATISTICS,
        )
    )


def _quorum(spec: Spec) -> Quorum:
    return quorum_of(_section(spec).quorum)


def _goal(spec: Spec) -> Goal:
    return Goal("epoch", _section(spec).epochs, "epochs")


def _plan(spec: Spec, local: Local) -> Pairs:
    samples, train = local.samples(Split.TRAIN), _section(spec)
    most = ceil(samples / train.batch_size)
    fewest = ceil(most / train.most_workers)
    rounds = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    return [("data", f"{samples:,} samples: {most:,} gradients, {rounds} rounds an epoch")]


def _describe(spec: Spec) -> Pairs:
    train = _section(spec)
    options = ", ".join(f"{name} {value}" for name, value in train.optimizer.options.items())
    how = f"{train.epochs:g} epochs, batches of {train.batch_size}, {train.optimizer.name} ({options})"
    return [("workers", f"{train.workers}, quorum {quorum_name(train.quorum)}"), ("training", how)]


TRAIN = Verb(_strategy, _quorum, _goal, _plan, _describe)
