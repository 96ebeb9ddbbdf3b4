"""A source or a candidate of a merge: where its weights are, and what has become of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.records import Ref, Told
from orchestrator.strategies.evaluation import Evaluation

NONE = Ref("")


@dataclass(slots=True)
class Entry:
    """label: for people. arguments: of its model. recipe, options, members: of a candidate; members are sources.

    asked: its merge was. weights: NONE before it is made, and again when it is out of the running.
    metrics: by split, then by name, means over all samples. note: what decided about it.
    speculative: it may turn out that nobody wants it; predicting, predictions: of a source, for an ensemble.
    """

    label: str
    arguments: dict[str, Any]
    recipe: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    members: list[int] = field(default_factory=list)
    asked: bool = False
    weights: Ref = NONE
    evaluation: Evaluation | None = None
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    note: str = ""
    speculative: bool = False
    predicting: bool = False
    predictions: Ref = NONE

    @property
    def judged(self) -> bool:
        return "validation" in self.metrics

    def made(self, told: Told) -> None:
        """Its merge is done; what the work counted is the note."""
        self.weights = told.result.outputs["weights"]
        self.note = ", ".join(f"{name} {value:.4g}" for name, value in sorted(told.result.metrics.items()))

    def take_over(self, other: Entry) -> None:
        """It is the same model as another one, and judged with it."""
        self.asked, self.weights = True, other.weights
        self.metrics = {split: dict(figures) for split, figures in other.metrics.items()}
        self.note = f"{other.label} alone, the best source"


def entry_of(
    label: str,
    arguments: Mapping[str, Any],
    *,
    recipe: str = "",
    options: Mapping[str, Any] | None = None,
    members: Sequence[int] = (),
) -> Entry:
    return Entry(label, dict(arguments), recipe, dict(options or {}), list(members))
