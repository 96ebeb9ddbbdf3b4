"""The section `merge`: one model from many."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, JsonValue, Tag, WithJsonSchema, field_validator

from orchestrator.spec.common import Optimizer, Section, VerbSection, Workers

FREE = frozenset({"ensemble"})
"""Recipes whose sources may be of several architectures."""


class SourceFile(Section):
    """A model on disk, with what a file may not say about itself."""

    path: str = Field(min_length=1, description="a .safetensors file, or a folder of shards with their index")
    name: str = Field(default="", description="what to call it; empty: its path")
    model: dict[str, JsonValue] | None = Field(
        default=None, description="arguments of Task.model it was made with; null: as the file says, else merge.model"
    )
    run: str = Field(default="", description="the run that made it, for the record")


Source: TypeAlias = Annotated[
    Annotated[str, Tag("<name>"), Field(min_length=1)] | Annotated[SourceFile, Tag("<file>")],
    Discriminator(lambda given: "<file>" if isinstance(given, dict | SourceFile) else "<name>"),
]


class Parents(Section):
    """Models trained as part of the run, all from one start, each with an order of the data of its own."""

    count: int = Field(default=4, ge=2, description="models")
    start_epochs: float = Field(default=1.0, ge=0, description="epochs of their common start, which is the base")
    epochs: float = Field(default=1.0, gt=0, description="epochs of each, from the start on")
    batch_size: int = Field(default=64, ge=1, description="samples of one step")
    optimizer: Optimizer = Field(
        default=Optimizer.model_validate({"name": "sgd", "lr": 0.05, "momentum": 0.9}),
        description="an optimizer of torch.optim and its options",
    )
    clip_norm: float | None = Field(default=None, gt=0, description="largest norm of a gradient; null: no clipping")


Recipes: TypeAlias = Annotated[
    list[dict[str, dict[str, JsonValue]]],
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "object", "additionalProperties": {"type": "object"}},
                {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}},
            ]
        }
    ),
]


class Merge(VerbSection):
    """One model from many."""

    workers: Workers = Field(description="processes that make and evaluate candidates")
    sources: list[Source] = Field(
        default=[],
        description="models to merge: run:RUN, search:RUN/top:N, mlflow:RUN_ID, a .safetensors file, a folder of "
        "shards, or {path: …, model: {…}}; empty: parents, or what a chain made before",
    )
    base: Source | None = Field(
        default=None, description="the model that the sources were fine-tuned from, written as one of them"
    )
    parents: Parents | None = Field(default=None, description="train the sources, and their base, in this run")
    method: Recipes = Field(
        default=[{"greedy_soup": {}}],
        description="a name, {name: {option: value}}, or a list of these; a list of values tries each",
    )
    metric: str = Field(default="accuracy", min_length=1, description="figure of Task.metrics, on validation data")
    mode: Literal["max", "min"] = Field(default="max", description="whether more of the metric is better, or less")
    registered_as: str | None = Field(
        default=None, min_length=1, description="enter the model into MLflow's registry under this name"
    )
    allow_unrelated: bool = Field(
        default=False, description="merge weights of models that do not seem to come from one start"
    )

    @field_validator("method", mode="before")
    @classmethod
    def _as_list(cls, given: Any) -> Any:
        several = given if isinstance(given, list) else [given]
        return [{one: {}} if isinstance(one, str) else _with_options(one) for one in several]

    @property
    def grid(self) -> list[tuple[str, dict[str, JsonValue]]]:
        """Every recipe with single values for its options, in the order that they were written in."""
        return [
            (name, dict(zip(options, values, strict=True)))
            for recipe in self.method
            for name, options in recipe.items()
            for values in product(*(value if isinstance(value, list) else [value] for value in options.values()))
        ]

    @property
    def most_sources(self) -> int:
        """How many models there will be at most, before it is known what a search has kept."""
        if self.parents is not None:
            return self.parents.count
        return sum(top_of(source) if isinstance(source, str) else 1 for source in self.sources)


def top_of(source: str) -> int:
    """How many models a source may stand for; 1 but for `search:RUN/top:N`."""
    kind, _, rest = source.partition(":")
    number = rest.rpartition("/top:")[2]
    return int(number) if kind == "search" and "/top:" in rest and number.isdecimal() else 1


def _with_options(one: Any) -> Any:
    """`{ties: }` is `{ties: {}}`."""
    return {name: {} if options is None else options for name, options in one.items()} if isinstance(one, dict) else one
