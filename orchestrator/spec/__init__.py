"""What a user asks for: the models of a spec, and the one gate that a spec passes before anything starts."""

from orchestrator.spec.check import check, load
from orchestrator.spec.models import (
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
from orchestrator.spec.problems import Problem, SpecInvalid
from orchestrator.spec.schema import json_schema

__all__ = [
    "EveryEpochs",
    "EveryRounds",
    "Inject",
    "Optimizer",
    "PerWorker",
    "Problem",
    "Quorum",
    "Resources",
    "Slow",
    "Spec",
    "SpecInvalid",
    "StaticOptions",
    "StaticQuorum",
    "Times",
    "Tracking",
    "Train",
    "TrainSpec",
    "check",
    "json_schema",
    "load",
]
