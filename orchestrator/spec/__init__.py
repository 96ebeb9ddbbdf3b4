"""What a user asks for: the models of a spec, and the one gate that a spec passes before anything starts."""

from orchestrator.spec.check import check, load
from orchestrator.spec.common import (
    EveryEpochs,
    EveryRounds,
    Inject,
    OneOf,
    Optimizer,
    PerWorker,
    Quorum,
    Resources,
    Section,
    Slow,
    StaticOptions,
    StaticQuorum,
    Times,
    Tracking,
    VerbSection,
)
from orchestrator.spec.federate import Federate
from orchestrator.spec.merge import Merge
from orchestrator.spec.models import VERBS, Spec, Stage
from orchestrator.spec.problems import Problem, SpecInvalid
from orchestrator.spec.schema import json_schema
from orchestrator.spec.search import Search
from orchestrator.spec.serve import Serve
from orchestrator.spec.train import Train

__all__ = [
    "VERBS",
    "EveryEpochs",
    "EveryRounds",
    "Federate",
    "Inject",
    "Merge",
    "OneOf",
    "Optimizer",
    "PerWorker",
    "Problem",
    "Quorum",
    "Resources",
    "Search",
    "Section",
    "Serve",
    "Slow",
    "Spec",
    "SpecInvalid",
    "Stage",
    "StaticOptions",
    "StaticQuorum",
    "Times",
    "Tracking",
    "Train",
    "VerbSection",
    "check",
    "json_schema",
    "load",
]
