"""What a user asks for: the models of a spec, and the one gate that a spec passes before anything starts."""

from orchestrator.spec.models import (
    Every,
    EveryEpochs,
    EveryRounds,
    Inject,
    Optimizer,
    PerWorker,
    Quorum,
    Resources,
    Slow,
    Spec,
    StaticOptions,
    StaticQuorum,
    Times,
    Tracking,
    Train,
    TrainSpec,
)

__all__ = [
    "Every",
    "EveryEpochs",
    "EveryRounds",
    "Inject",
    "Optimizer",
    "PerWorker",
    "Quorum",
    "Resources",
    "Slow",
    "Spec",
    "StaticOptions",
    "StaticQuorum",
    "Times",
    "Tracking",
    "Train",
    "TrainSpec",
]
