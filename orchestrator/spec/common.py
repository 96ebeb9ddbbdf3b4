"""What the sections of a spec share: single values only, frozen, unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    Tag,
    model_validator,
)
from pydantic_core import CoreSchema


class Section(BaseModel):
    """A mapping of a spec."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class OneOf(Section):
    """A name, or a mapping with one name and its options: `fedavg`, or `{fedlaw: {epochs: 20}}`.

    Each field is one name, of type `SomeOptions | None = None`.
    """

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {given: {}}
        if isinstance(given, dict) and list(given.values()) == [None]:  # `{fedavg: }`
            return {name: {} for name in given}
        return given

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self._given) != 1:
            raise ValueError("give exactly one")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        spelled_out = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string", "enum": list(cls.model_fields)}, spelled_out]}

    @property
    def _given(self) -> Mapping[str, Any]:
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}

    @property
    def name(self) -> str:
        """Which one it is."""
        return next(iter(self._given))

    @property
    def options(self) -> Any:
        """Its options, with their defaults."""
        return self._given[self.name]


QuorumName: TypeAlias = Literal["full", "dynamic", "dbw", "adasync", "rate"]


class StaticOptions(Section):
    """How many results a round waits for."""

    k: int = Field(ge=1, description="results a round waits for, from 1 to as many as are asked")


class StaticQuorum(Section):
    """Wait for the same number of results in every round."""

    static: StaticOptions


Quorum: TypeAlias = Annotated[
    Annotated[QuorumName, Tag("<name>")] | Annotated[StaticQuorum, Tag("<static>")],
    Discriminator(lambda given: "<static>" if isinstance(given, dict | StaticQuorum) else "<name>"),
]


class EveryEpochs(Section):
    """An interval in passes over the training data."""

    epochs: float = Field(gt=0, description="passes over the training data; fractions are allowed")


class EveryRounds(Section):
    """An interval in rounds."""

    rounds: int = Field(ge=1, description="rounds: steps of the optimizer, or rounds of a federation")


def _is_rounds(given: object) -> bool:
    return isinstance(given, EveryRounds) or (isinstance(given, dict) and "rounds" in given)


Every: TypeAlias = Annotated[
    Annotated[EveryEpochs, Tag("<epochs>")] | Annotated[EveryRounds, Tag("<rounds>")],
    Discriminator(lambda given: "<rounds>" if _is_rounds(given) else "<epochs>"),
]


class Optimizer(Section):
    """An optimizer of torch.optim and its options: every further key is an option of that class."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    name: str = Field(description="a class of torch.optim, in any case: sgd, adamw, …")
    lr: float = Field(gt=0, description="learning rate")

    @property
    def options(self) -> dict[str, JsonValue]:
        """Keyword arguments of the class: `lr` and all further keys."""
        return {"lr": self.lr, **self.__pydantic_extra__}


class PerWorker(Section):
    """What each worker reserves on the cluster."""

    cpu: float = Field(default=1.0, gt=0, description="CPU cores")
    gpu: float = Field(default=0.0, ge=0, description="GPUs: 0, a fraction below 1, or a whole number")


class Resources(Section):
    """What a run reserves on the cluster."""

    per_worker: PerWorker = Field(default=PerWorker(), description="what each worker reserves")


class Tracking(Section):
    """Where metrics, parameters and models are recorded."""

    enabled: bool = Field(default=True, description="record this run in MLflow")
    experiment: str = Field(default="ripieno", min_length=1, description="experiment in MLflow")
    uri: str | None = Field(
        default=None, min_length=1, description="MLflow's tracking URI; null: SQLite beside the state folder"
    )


class Times(Section):
    """The only three times that are set; every other wait is learnt from what was observed."""

    heartbeat_s: float = Field(
        default=2.0,
        gt=0,
        description="seconds between signs of life; a stopped or cut-off worker is lost after 1 to 1.5 of these",
    )
    patience_s: float = Field(
        default=300.0, gt=0, description="seconds to wait with fewer than min_workers before the run fails"
    )
    hard_deadline_s: float | None = Field(
        default=None, gt=0, description="seconds after which a piece of work is given up; null: learnt from round trips"
    )


class Slow(Section):
    """One worker made slow by sleeping."""

    worker: int = Field(ge=0, description="which worker, counting from 0")
    factor: float = Field(ge=1, description="how many times as long it takes")


class Delay(Section):
    """Every answer made late by sleeping, by chance with a heavy tail: P(T > t) = (t_min/t)^pareto."""

    pareto: float = Field(gt=1, description="shape of the tail; 1.5 is heavy, 3 is mild")
    mean_s: float = Field(gt=0, description="mean, seconds")


class Inject(Section):
    """Faults made on purpose, for demonstrations."""

    slow: Slow | None = Field(default=None, description="a deliberately slow worker")
    delay: Delay | None = Field(
        default=None, description="a delay of chance length for each piece of work, whoever does it"
    )


class WorkerRange(Section):
    """As many workers as there is room for, between two numbers; `2 to 8` as text."""

    min: int = Field(
        ge=1, description="the run begins as soon as so many are there; with fewer it pauses, at most times.patience_s"
    )
    max: int = Field(ge=1, description="more join while it runs, as the cluster has room, until there are so many")

    def __str__(self) -> str:
        return f"{self.min} to {self.max}"


Workers: TypeAlias = Annotated[
    Annotated[int, Field(ge=1), Tag("<number>")] | Annotated[WorkerRange, Tag("<range>")],
    Discriminator(lambda given: "<range>" if isinstance(given, dict | WorkerRange) else "<number>"),
]


class VerbSection(Section):
    """What every verb's section has."""

    workers: Workers = Field(description="processes that compute, or {min: …, max: …}")
    min_workers: int | None = Field(
        default=None,
        ge=1,
        description="with fewer present the run pauses, at most times.patience_s; from 1 to workers; null: 1, "
        "or workers.min",
    )
    model: dict[str, JsonValue] = Field(default={}, description="arguments of Task.model")

    @property
    def most_workers(self) -> int:
        """There are never more."""
        return self.workers if isinstance(self.workers, int) else self.workers.max

    @property
    def first_workers(self) -> int:
        """So many are reserved at once, all or none, and waited for before the first round: all, unless given as a
        range."""
        return self.workers if isinstance(self.workers, int) else self.workers.min

    @property
    def least_workers(self) -> int:
        """With fewer the run pauses."""
        return self.min_workers or (1 if isinstance(self.workers, int) else self.workers.min)

    def model_arguments(self) -> Mapping[str, tuple[str, ...]]:
        """The arguments that Task.model gets in this run, and where in the section each stands."""
        return {name: ("model", name) for name in self.model}

    def some_model(self) -> Mapping[str, Any]:
        """Arguments of one model of this run, to count its parameters."""
        return self.model

    @property
    def real(self) -> bool:
        """Whether its workers are real sites, which nobody launches; see Serve."""
        return False
