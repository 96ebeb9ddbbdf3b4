"""From a spec to the pure parts of its run."""

from __future__ import annotations

from typing import Any

from orchestrator.core import Core
from orchestrator.protocols import Quorum
from orchestrator.quorum import make_quorum
from orchestrator.spec import StaticQuorum, TrainSpec
from orchestrator.strategies import SyncTraining, SyncTrainingSettings

WANT_GRADIENT_STATISTICS = ("dynamic", "dbw")


def quorum_of(spec: TrainSpec) -> Quorum:
    chosen = spec.train.quorum
    if isinstance(chosen, StaticQuorum):
        return make_quorum("static", k=chosen.static.k)
    return make_quorum(chosen)


def strategy_of(spec: TrainSpec) -> SyncTraining:
    train = spec.train
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


def core_of(spec: TrainSpec, quorum: Quorum | None = None) -> Core:
    """A new core for this spec; quorum: instead of the spec's own."""
    return Core(
        strategy_of(spec),
        quorum or quorum_of(spec),
        seed=spec.seed,
        min_workers=spec.train.min_workers,
        patience_s=spec.times.patience_s,
        workers=spec.train.workers,
    )
