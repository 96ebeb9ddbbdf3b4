"""What a user writes: one model, with a section for the verb and the keys that all verbs share.

A model knows single values only. What contradicts itself or the world is found by `check`, all at once.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from orchestrator.spec.common import Inject, Resources, Section, Times, Tracking, VerbSection
from orchestrator.spec.federate import Federate
from orchestrator.spec.merge import Merge
from orchestrator.spec.search import Search
from orchestrator.spec.serve import Serve
from orchestrator.spec.train import Train

VERBS = ("train", "federate", "search", "merge")
"""The sections that say what to do; a spec has exactly one of them."""


class OneVerb(Section):
    """Has a section for each verb, all but one of them None."""

    @property
    def given(self) -> tuple[str, ...]:
        """The verbs that there is a section for; exactly one, in a spec that passed the gate."""
        return tuple(verb for verb in VERBS if getattr(self, verb) is not None)

    @property
    def verb(self) -> str:
        """What to do: the name of the section."""
        (verb,) = self.given
        return verb

    @property
    def section(self) -> VerbSection:
        """How to do it."""
        section: VerbSection = getattr(self, self.verb)
        return section


MERGE = Field(default=None, description="make one model of many, by weights or by predictions")
SEARCH = Field(
    default=None, description="search for hyperparameters and architecture, by trials that train in parallel"
)
FEDERATE = Field(default=None, description="train over clients whose data stays where it is")
TRAIN = Field(default=None, description="train one model on many workers, without waiting for the slow ones")


class Stage(OneVerb):
    """What a chain does next."""

    train: Train | None = TRAIN
    federate: Federate | None = FEDERATE
    search: Search | None = SEARCH
    merge: Merge | None = MERGE


class Spec(OneVerb):
    """A run, or a chain of them."""

    task: str = Field(default="", description="what to work on: package.module:Class, a trainers.Task")
    train: Train | None = TRAIN
    federate: Federate | None = FEDERATE
    search: Search | None = SEARCH
    merge: Merge | None = MERGE
    then: list[Stage] = Field(default=[], description="what to do after it, one verb each, each from what came before")
    serve: Serve | None = Field(default=None, description="real sites that dial in, for federate: {clients: sites}")
    resources: Resources = Field(default=Resources(), description="what the run reserves on the cluster")
    tracking: Tracking = Field(default=Tracking(), description="where it is recorded")
    state: str = Field(default="./runs", min_length=1, description="folder of runs: journals, snapshots, outcomes")
    storage: str | None = Field(
        default=None,
        min_length=1,
        description="URI that journals and snapshots are copied to: a path, s3://, gs://; null: nowhere",
    )
    keep_journal: Literal["all", "since_snapshot"] = Field(
        default="all", description="since_snapshot saves disk; replay from the start needs all"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="source of all of the run's randomness")
    threads: int = Field(
        default=1, ge=1, description="threads of one operation inside a worker (torch.set_num_threads)"
    )
    times: Times = Field(default=Times(), description="the only times to set")
    inject: Inject = Field(default=Inject(), description="faults made on purpose, for demonstrations")

    @property
    def served(self) -> Serve | None:
        """How this run's workers dial in; None: they are launched."""
        return self.serve if self.section.real else None

    def tracking_uri(self, state: Path) -> str:
        """Where this run is tracked: as given, else a SQLite file beside the state folder.

        state: that folder as it was found; `self.state` may be relative, and a resumed run may start elsewhere.
        """
        return self.tracking.uri or f"sqlite:///{state.resolve().parent / 'mlflow.db'}"

    @property
    def canonical_json(self) -> str:
        """Every value, defaults included, in one fixed order: equal specs, equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def sha256(self) -> str:
        """Of the canonical JSON."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()
