"""What a user asked of synchronous training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from orchestrator.records import Json, Late

Every: TypeAlias = Mapping[str, float]
"""An interval, {"epochs": > 0} or {"rounds": >= 1}."""


@dataclass(frozen=True, slots=True)
class LearningRate:
    """How the learning rate follows the run.

    rule: of k, η(k) = η·(k/workers)^p: p = 0 "constant", 1 "proportional", "knee": found by range tests at the start.
    schedule: of torch.optim.lr_scheduler, {"name": …, its options}; stepped `per` round or epoch.
    """

    rule: Literal["constant", "proportional", "knee"] = "constant"
    schedule: Mapping[str, Json] | None = None
    per: Literal["round", "epoch"] = "round"


@dataclass(frozen=True, slots=True)
class LocalSteps:
    """A worker takes `steps` > 1 steps of its own before it answers; outer: the optimizer that steps along the way they
    went, {"name": …, "lr": …}."""

    steps: int
    outer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lawa:
    """The model is the mean of the newest `checkpoints` >= 2 versions of the weights, taken at this interval."""

    checkpoints: int
    every: Every


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """The run ends when `patience` >= 1 evaluations in a row did not improve by more than `min_delta` >= 0."""

    patience: int
    min_delta: float


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """every: between versions that are kept, the newest `keep` >= 1 of them; None: none is."""

    every: Every | None
    keep: int


@dataclass(frozen=True, slots=True)
class SyncTrainingSettings:
    """All of it.

    batch_size: samples of one gradient, >= 1. epochs: > 0, may be a fraction. optimizer: {"name": …, "lr": …, …}.
    workers: n of the learning rate's rule, >= 1.
    clip_norm: > 0, of the mean gradient, or of each local step's own; None: no clipping.
    model: arguments of the task's model(). evaluate_every: between evaluations on the validation split.
    gradient_statistics: whether the quorum wants `change_norm2`, `step_norm2` and `step_dot_gradient`; they cost one
        more pass over the parameters a step and one more value.
    backward: how gradients are computed, {"micro_batch_size", "precision"}; see `trainers.backward`.
    late: what becomes of gradients that come too late. ema: in (0, 1), decay of the averaged weights; at
        first (1 + step)/(10 + step), or they would be those of the beginning for long.
    best: metric of the validation split, without that word, and whether "max" or "min" of it is better: the best
        version by it is kept; None: no version is better than another.
    """

    batch_size: int
    epochs: float
    optimizer: Mapping[str, Any]
    workers: int = 1
    clip_norm: float | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    evaluate_every: Every = field(default_factory=lambda: {"epochs": 1.0})
    gradient_statistics: bool = False
    backward: Mapping[str, Json] = field(default_factory=dict)
    late: Late = Late.DROP
    learning_rate: LearningRate = field(default_factory=LearningRate)
    local: LocalSteps | None = None
    ema: float | None = None
    lawa: Lawa | None = None
    best: tuple[str, Literal["max", "min"]] | None = None
    stopping: EarlyStopping | None = None
    checkpoints: Checkpoints | None = None

    @property
    def block_size(self) -> int:
        """Samples of one answer of a worker."""
        return self.batch_size * (self.local.steps if self.local else 1)

    @property
    def stepped_by(self) -> Mapping[str, Any]:
        """The optimizer that makes new weights of the workers' answers."""
        return self.local.outer if self.local else self.optimizer
