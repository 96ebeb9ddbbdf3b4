"""What a merge was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.searching.score import Mode


@dataclass(frozen=True, slots=True)
class Parents:
    """Models trained here, all from one start. start_epochs: of the start itself, >= 0. training: for kind "trial"."""

    count: int
    start_epochs: float
    epochs: float
    training: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One candidate: a recipe with single values as options."""

    recipe: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """As people read it: `ties(density=0.2, alpha=1)`."""
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.recipe}({options})" if options else self.recipe


@dataclass(frozen=True, slots=True)
class MergingSettings:
    """What a user asked for.

    sources: label and model arguments of each given one, found under `given.source.N`; none where parents are trained.
    with_base: whether `given.base` is there. metric: of Task.metrics. model: arguments of the merged model.
    """

    wanted: Sequence[Wanted]
    sources: Sequence[tuple[str, Mapping[str, Any]]] = ()
    with_base: bool = False
    parents: Parents | None = None
    metric: str = "accuracy"
    mode: Mode = "max"
    model: Mapping[str, Any] = field(default_factory=dict)
