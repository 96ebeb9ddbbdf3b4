"""The section `search`: hyperparameters and architecture in one search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator

from orchestrator.searching.basis import basis, config_of
from orchestrator.searching.declaration import names, plain, read_space
from orchestrator.spec.autohas import AutohasOptions
from orchestrator.spec.common import OneOf, Optimizer, Section, VerbSection, Workers


class RandomOptions(Section):
    """Independent draws, each trained for the whole budget."""


class HalvingOptions(Section):
    """All train a little, the best train on, until one is left."""

    eta: float = Field(default=3.0, gt=1, description="one in eta goes on, for eta times the epochs")
    first: float | None = Field(
        default=None, gt=0, description="epochs of the first rung; null: so that the last trial alone trains for all"
    )


class AshaOptions(Section):
    """Successive halving that waits for nobody."""

    eta: float = Field(default=3.0, gt=1, description="one in eta goes on, for eta times the epochs")
    first: float | None = Field(
        default=None, gt=0, description="epochs of the lowest rung; null: epochs / eta², which makes three rungs"
    )


class PbtOptions(Section):
    """A population trains side by side; the worst take over weights and settings of the best, and vary them."""

    interval: float | None = Field(
        default=None, gt=0, description="epochs between the turns of a member; null: epochs / 5"
    )
    quantile: float = Field(
        default=0.25, ge=0, le=0.5, description="part that takes over, from the part as large on top"
    )
    resample: float = Field(default=0.25, ge=0, le=1, description="probability that a parameter is drawn anew")


class TpeOptions(Section):
    """Draws where the good trials so far lie dense; each trained for the whole budget."""

    startup: int = Field(default=10, ge=1, description="trials drawn evenly before the model is used")
    candidates: int = Field(default=24, ge=1, description="draws of a parameter, of which the most promising is taken")


class Method(OneOf):
    """How the search goes: a name, or a name with its options."""

    random: RandomOptions | None = None
    successive_halving: HalvingOptions | None = None
    asha: AshaOptions | None = None
    pbt: PbtOptions | None = None
    tpe: TpeOptions | None = None
    autohas: AutohasOptions | None = None


class Confirm(Section):
    """The best are trained once more from scratch, and the mean of several seeds decides."""

    top: int = Field(default=3, ge=1, description="configurations, the best of the search")
    seeds: int = Field(default=2, ge=2, description="runs of each, with the same seeds for all")


class Search(VerbSection):
    """A search for hyperparameters and architecture."""

    workers: Workers = Field(description="processes that train trials, one each at a time")
    space: dict[str, JsonValue] = Field(
        description="what to search: name -> {float: [low, high]}, {log: [low, high]}, {int: [low, high]} or "
        "{choice: [a, b, …]}; names are model.NAME, optimizer.NAME, batch_size and clip_norm"
    )
    method: Method = Field(default=Method.model_validate("asha"), description="how the search goes")
    trials: int = Field(default=27, ge=1, description="configurations that are begun at most; of pbt, the population")
    epochs: float = Field(default=1.0, gt=0, description="passes over the training data that one trial gets at most")
    metric: str = Field(default="accuracy", min_length=1, description="figure of Task.metrics, on validation data")
    mode: Literal["max", "min"] = Field(default="max", description="whether more of the metric is better, or less")
    optimizer: Optimizer = Field(
        default=Optimizer.model_validate({"name": "sgd", "lr": 0.05, "momentum": 0.9}),
        description="for what the space leaves open; its options but lr only where a trial has this optimizer's name",
    )
    batch_size: int = Field(default=64, ge=1, description="samples of one step, where the space leaves it open")
    clip_norm: float | None = Field(
        default=None, gt=0, description="largest norm of a gradient, where the space leaves it open; null: no clipping"
    )
    validate_every: float = Field(
        default=1.0, gt=0, description="epochs of a trial between validations; what a lost worker costs at most"
    )
    validation_samples: int | None = Field(
        default=None, ge=1, description="validate on so many, the first of that split; null: on all"
    )
    confirm: Confirm | None = Field(
        default=Confirm(), description="retrain the best from scratch; null: the best trial's weights are the model"
    )
    start: str | None = Field(
        default=None,
        min_length=1,
        description="weights that every trial starts from: run:RUN, mlflow:ID or a .safetensors file; null: fresh ones",
    )
    keep: int = Field(
        default=8, ge=1, description="trials whose weights are kept, the best; each is a run of its own in MLflow"
    )

    @field_validator("space", mode="before")
    @classmethod
    def _of_python(cls, given: Any) -> Any:
        """Ranges may be objects of `orchestrator.searching`."""
        return plain(given) if isinstance(given, Mapping) else given

    def model_arguments(self) -> Mapping[str, tuple[str, ...]]:
        """Those that all trials share, and those that the space has."""
        space, _ = read_space(self.space)
        searched = {
            parameter.name.split(".")[1]: ("space", *keys)
            for keys, parameter in names(space)
            if parameter.name.startswith("model.")
        }
        return {**super().model_arguments(), **searched}

    def some_model(self) -> Mapping[str, Any]:
        """That of the first options of every choice, and the low ends of ranges."""
        space, _ = read_space(self.space)
        categories = basis(space, 2)
        searched = config_of(categories, [0] * len(categories))
        return {**self.model, **{n.split(".")[1]: v for n, v in searched.items() if n.startswith("model.")}}
