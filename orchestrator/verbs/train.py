"""The verb `train`."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from orchestrator.goal import Goal
from orchestrator.local import Local
from orchestrator.protocols import Quorum, Strategy
from orchestrator.records import Late, Model
from orchestrator.spec import Spec, Train
from orchestrator.spec.common import Optimizer
from orchestrator.strategies import SyncTraining, SyncTrainingSettings
from orchestrator.strategies.training import Checkpoints, EarlyStopping, Lawa, LearningRate, LocalSteps
from orchestrator.verbs.quorums import quorum_name, quorum_of
from orchestrator.verbs.verb import Pairs, Verb
from trainers import Split

WANT_GRADIENT_STATISTICS = ("dynamic", "dbw")
LATE = {"drop": "dropped", "interrupt": "interrupted"}


def _section(spec: Spec) -> Train:
    assert spec.train is not None
    return spec.train


def _strategy(spec: Spec) -> SyncTraining:
    train = _section(spec)
    local = None
    if train.local_steps > 1:
        local = LocalSteps(train.local_steps, _settings(train.outer))
    schedule = train.learning_rate_schedule
    stopping, checkpoints = train.early_stopping, train.checkpoints
    best = stopping or checkpoints.best
    average = train.average
    return SyncTraining(
        SyncTrainingSettings(
            batch_size=train.batch_size,
            epochs=train.epochs,
            optimizer=_settings(train.optimizer),
            workers=train.most_workers,
            clip_norm=train.clip_norm,
            model=train.model,
            evaluate_every=train.evaluate_every.model_dump(),
            gradient_statistics=train.quorum in WANT_GRADIENT_STATISTICS,
            backward={"micro_batch_size": train.micro_batch_size, "precision": train.precision},
            late=Late(train.late),
            learning_rate=LearningRate(
                train.learning_rate_rule,
                None if schedule is None else {"name": schedule.name, **schedule.options},
                "round" if schedule is None else schedule.per,
            ),
            local=local,
            ema=average.ema.decay if average and average.ema else None,
            lawa=Lawa(average.lawa.checkpoints, average.lawa.every.model_dump()) if average and average.lawa else None,
            best=(best.metric, best.mode) if best else None,
            stopping=EarlyStopping(stopping.patience, stopping.min_delta) if stopping else None,
            checkpoints=Checkpoints(checkpoints.every.model_dump() if checkpoints.every else None, checkpoints.keep),
        )
    )


def _settings(optimizer: Optimizer) -> dict[str, Any]:
    return {"name": optimizer.name, **optimizer.options}


def _quorum(spec: Spec) -> Quorum:
    return quorum_of(_section(spec).quorum)


def _goal(spec: Spec) -> Goal:
    return Goal("epoch", _section(spec).epochs, "epochs")


def _plan(spec: Spec, local: Local) -> Pairs:
    samples, train = local.samples(Split.TRAIN), _section(spec)
    most = ceil(samples / (train.batch_size * train.local_steps))
    fewest = ceil(most / train.most_workers)
    rounds = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    return [("data", f"{samples:,} samples: {most:,} gradients, {rounds} rounds an epoch")]


def _describe(spec: Spec) -> Pairs:
    train = _section(spec)
    pairs = [
        ("workers", f"{train.workers}, quorum {quorum_name(train.quorum)}, late gradients {LATE[train.late]}"),
        ("training", f"{train.epochs:g} epochs, batches of {train.batch_size}, {_named(train.optimizer)}"),
    ]
    if train.local_steps > 1:
        pairs.append(("local steps", f"{train.local_steps}, then {_named(train.outer)}"))
    if train.learning_rate_schedule is not None:
        schedule = train.learning_rate_schedule
        pairs.append(("schedule", f"{schedule.name} ({_options(schedule.options)}), stepped each {schedule.per}"))
    if train.average is not None:
        pairs.append(("model", f"average of its weights, {train.average.name}"))
    if (stopping := train.early_stopping) is not None:
        pairs.append(("ends early", f"after {stopping.patience} evaluations without a better {stopping.metric}"))
    return pairs


def _named(optimizer: Optimizer) -> str:
    return f"{optimizer.name} ({_options(optimizer.options)})"


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


def _checkpoints(strategy: Strategy) -> Mapping[str, Model]:
    assert isinstance(strategy, SyncTraining)
    return strategy.checkpoints


TRAIN = Verb(_strategy, _quorum, _goal, _plan, _describe, checkpoints=_checkpoints)
