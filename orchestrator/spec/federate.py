"""The section `federate`: training over clients whose data stays where it is."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, WithJsonSchema

from orchestrator.spec.common import EveryRounds, OneOf, Optimizer, Quorum, Section, VerbSection, Workers

Sites: TypeAlias = Annotated[Literal["sites"], WithJsonSchema({"enum": ["sites"]})]


class IidOptions(Section):
    """All clients have the same distribution, and as many samples as each other, or one more."""

    minimum: int = Field(default=1, ge=1, description="samples of each client at least")


class DirichletOptions(Section):
    """Of each class the clients get shares drawn from a Dirichlet distribution."""

    alpha: float = Field(
        default=0.5, gt=0, description="0.1: a client has one class or two; 100: all, in nearly equal shares"
    )
    minimum: int = Field(default=10, ge=1, description="samples of each client at least")


class Partition(OneOf):
    """How simulated clients divide the training data."""

    iid: IidOptions | None = None
    dirichlet: DirichletOptions | None = None


class Local(Section):
    """What a client does with its own samples in a round."""

    epochs: int = Field(default=1, ge=1, description="passes over its own samples")
    batch_size: int = Field(default=64, ge=1, description="samples of one step")
    optimizer: Optimizer = Field(
        default=Optimizer.model_validate({"name": "sgd", "lr": 0.05, "momentum": 0.9}),
        description="an optimizer of torch.optim and its options; it starts anew in every round",
    )
    decay: float = Field(default=1.0, gt=0, le=1, description="factor of the learning rate, from round to round")


class FedAvgOptions(Section):
    """The mean of the clients' weights, each by its samples."""


class FedLawOptions(Section):
    """Shares of the clients and one factor for all, learnt on the proxy set."""

    learn: Literal["both", "lambda", "gamma"] = Field(
        default="both", description="the shares (lambda), the factor (gamma), or both"
    )
    lr: float = Field(default=0.02, gt=0, description="of Adam on the server; 0.005 is the paper's")
    epochs: int = Field(default=20, ge=0, description="passes over the proxy set; 0 is fedavg, bit for bit")
    batch_size: int = Field(default=128, ge=1, description="samples of the proxy set in one step")
    limit: float = Field(default=0.7, ge=0, description="how far ln gamma may go from 0")


class FineTuningOptions(Section):
    """The mean, and then ordinary training on the proxy set: the control for FedLAW."""

    lr: float = Field(default=0.01, gt=0, description="of SGD on the server")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of SGD on the server")
    epochs: int = Field(default=20, ge=0, description="passes over the proxy set; 0 is fedavg, bit for bit")
    batch_size: int = Field(default=128, ge=1, description="samples of the proxy set in one step")


class ScaffoldOptions(Section):
    """Controls of server and clients take the drift out of local training."""

    server_lr: float = Field(default=1.0, gt=0, description="how far the weights go towards the clients' mean")


class FedBuffOptions(Section):
    """No barrier: every so many updates make new weights, stale ones counting less."""

    buffer: int = Field(default=10, ge=1, description="updates that make new weights")
    server_lr: float = Field(default=1.0, gt=0, description="factor of the step")
    max_staleness: int = Field(default=20, ge=0, description="updates that are more versions old are left out")


class Aggregation(OneOf):
    """The rule that makes one model of the clients' models."""

    fedavg: FedAvgOptions | None = None
    fedlaw: FedLawOptions | None = None
    fine_tuning: FineTuningOptions | None = None
    scaffold: ScaffoldOptions | None = None
    fedbuff: FedBuffOptions | None = None

    @property
    def uses_proxy(self) -> bool:
        return self.name in ("fedlaw", "fine_tuning")


class Proxy(Section):
    """A few labelled samples that the server holds itself, all classes alike."""

    samples: int = Field(default=200, ge=1, description="how many; drawn from the seed")
    split: Literal["train", "validation", "test"] = Field(
        default="validation", description="where they come from: validation, for the others would leak"
    )


class Federate(VerbSection):
    """Training over clients whose data stays where it is."""

    workers: Workers = Field(description="processes that train clients one after another; of sites, how many there are")
    clients: Annotated[int, Field(ge=1)] | Sites = Field(
        default=20, description="simulated ones; or sites: every worker that connects is a client with data of its own"
    )
    clients_per_round: int | None = Field(
        default=None,
        ge=1,
        description="clients that a round needs, drawn from the seed; null: all. With fedbuff: out at a time; "
        "null: as many as workers",
    )
    over_sample: float = Field(
        default=1.0, ge=1, description="asks so many times as many, and goes on with those that come first"
    )
    rounds: int = Field(default=20, ge=1, description="new versions of the weights")
    quorum: Quorum = Field(default="full", description="how many clients' updates to wait for; full: clients_per_round")
    deadline_s: float | None = Field(
        default=None, gt=0, description="seconds after which a round goes on with what is there; null: never"
    )
    at_least: int = Field(default=1, ge=1, description="updates without which no deadline closes a round")
    partition: Partition = Field(
        default=Partition.model_validate("iid"), description="how simulated clients divide the training data"
    )
    local: Local = Field(default=Local(), description="what a client does in a round")
    aggregation: Aggregation = Field(
        default=Aggregation.model_validate("fedlaw"), description="makes one model of the clients' models"
    )
    proxy: Proxy = Field(default=Proxy(), description="the server's own samples, for fedlaw and fine_tuning")
    start: str | None = Field(
        default=None,
        min_length=1,
        description="weights to start from: run:RUN, mlflow:ID or a .safetensors file; null: fresh ones",
    )
    evaluate_every: EveryRounds = Field(
        default=EveryRounds(rounds=1),
        description="between evaluations on validation data, {rounds: N}; the end is always evaluated",
    )

    @property
    def real(self) -> bool:
        """Whether clients are sites, with data of their own."""
        return self.clients == "sites"

    @property
    def population(self) -> int:
        """Clients in all."""
        return self.most_workers if isinstance(self.clients, str) else self.clients

    @property
    def needed(self) -> int:
        """Updates that make new weights."""
        if self.aggregation.fedbuff is not None:
            return self.aggregation.fedbuff.buffer
        return self.clients_per_round or self.population

    @property
    def asked(self) -> int:
        """Clients asked in a round; with fedbuff, out at a time."""
        if self.aggregation.fedbuff is not None:
            return self.clients_per_round or min(self.most_workers, self.population)
        return ceil(self.needed * self.over_sample - 1e-9)
