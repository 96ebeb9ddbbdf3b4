"""What a user writes: one frozen model a verb, whose defaults are the recommendation.

A model knows single values only. What contradicts itself or the world is found by `check`, all at once.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag

QuorumName: TypeAlias = Literal["full", "dynamic", "dbw", "adasync", "rate"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class StaticOptions(_Frozen):
    """How many gradients a round waits for."""

    k: int = Field(ge=1, description="gradients a round waits for, from 1 to train.workers")


class StaticQuorum(_Frozen):
    """Wait for the same number of gradients in every round."""

    static: StaticOptions


Quorum: TypeAlias = Annotated[
    Annotated[QuorumName, Tag("<name>")] | Annotated[StaticQuorum, Tag("<static>")],
    Discriminator(lambda given: "<static>" if isinstance(given, dict | StaticQuorum) else "<name>"),
]


class EveryEpochs(_Frozen):
    """An interval in passes over the training data."""

    epochs: float = Field(gt=0, description="passes over the training data; fractions are allowed")


class EveryRounds(_Frozen):
    """An interval in rounds."""

    rounds: int = Field(ge=1, description="rounds, one step of the optimizer each")


def _is_rounds(given: object) -> bool:
    return isinstance(given, EveryRounds) or (isinstance(given, dict) and "rounds" in given)


Every: TypeAlias = Annotated[
    Annotated[EveryEpochs, Tag("<epochs>")] | Annotated[EveryRounds, Tag("<rounds>")],
    Discriminator(lambda given: "<rounds>" if _is_rounds(given) else "<epochs>"),
]


class Optimizer(_Frozen):
    """An optimizer of torch.optim and its options: every further key is an option of that class."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    name: str = Field(description="a class of torch.optim, in any case: sgd, adamw, …")
    lr: float = Field(gt=0, description="learning rate")

    @property
    def options(self) -> dict[str, JsonValue]:
        """Keyword arguments of the class: `lr` and all further keys."""
        return {"lr": self.lr, **self.__pydantic_extra__}


class Train(_Frozen):
    """Synchronous data-parallel training that does not wait for stragglers."""

    workers: int = Field(ge=1, description="processes that compute gradients")
    min_workers: int = Field(
        default=1, ge=1, description="with fewer present the run pauses, at most times.patience_s; from 1 to workers"
    )
    batch_size: int = Field(default=64, ge=1, description="samples of one gradient")
    quorum: Quorum = Field(default="dynamic", description="how many gradients of a round to wait for")
    optimizer: Optimizer = Field(
        default=Optimizer.model_validate({"name": "sgd", "lr": 0.05, "momentum": 0.9}),
        description="an optimizer of torch.optim and its options",
    )
    clip_norm: float | None = Field(
        default=None, gt=0, description="largest norm of a round's mean gradient; null: no clipping"
    )
    epochs: float = Field(default=1.0, gt=0, description="passes over the training data; fractions are allowed")
    model: dict[str, JsonValue] = Field(default={}, description="arguments of Task.model")
    evaluate_every: Every = Field(
        default=EveryEpochs(epochs=1.0),
        description="between evaluations on validation data, {epochs: X} or {rounds: N}; the end is always evaluated",
    )


class PerWorker(_Frozen):
    """What each worker reserves on the cluster."""

    cpu: float = Field(default=1.0, gt=0, description="CPU cores")
    gpu: float = Field(default=0.0, ge=0, description="GPUs: 0, a fraction below 1, or a whole number")


class Resources(_Frozen):
    """What a run reserves on the cluster."""

    per_worker: PerWorker = Field(default=PerWorker(), description="what each worker reserves")


class Tracking(_Frozen):
    """Where metrics, parameters and models are recorded."""

    enabled: bool = Field(default=True, description="record this run in MLflow")
    experiment: str = Field(default="ripieno", min_length=1, description="experiment in MLflow")
    uri: str | None = Field(default=None, description="MLflow's tracking URI; null: SQLite beside the state folder")


class Times(_Frozen):
    """The only three times that are set; every other wait is learnt from what was observed."""

    heartbeat_s: float = Field(
        default=2.0,
        gt=0,
        description="seconds between signs of life; a stopped or cut-off worker is lost after 1 to 1.5 of these",
    )
    patience_s: float = Field(
        default=300.0, gt=0, description="seconds to wait with fewer than train.min_workers before the run fails"
    )
    hard_deadline_s: float | None = Field(
        default=None, gt=0, description="seconds after which a piece of work is given up; null: learnt from round trips"
    )


class Slow(_Frozen):
    """One worker made slow by sleeping."""

    worker: int = Field(ge=0, description="which worker, counting from 0")
    factor: float = Field(ge=1, description="how many times as long it takes")


class Inject(_Frozen):
    """Faults made on purpose, for demonstrations."""

    slow: Slow | None = Field(default=None, description="a deliberately slow worker")


class TrainSpec(_Frozen):
    """A training run."""

    task: str = Field(description="what to train: package.module:Class, a trainers.Task")
    train: Train = Field(description="how to train it")
    resources: Resources = Field(default=Resources(), description="what the run reserves on the cluster")
    tracking: Tracking = Field(default=Tracking(), description="where it is recorded")
    state: str = Field(default="./runs", min_length=1, description="folder of runs: journals, snapshots, outcomes")
    storage: str | None = Field(
        default=None, description="URI that journals and snapshots are copied to: a path, s3://, gs://; null: nowhere"
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


Spec: TypeAlias = TrainSpec
