"""The section `train`: synchronous data-parallel training that does not wait for stragglers."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, JsonValue

from orchestrator.spec.common import Every, EveryEpochs, OneOf, Optimizer, Quorum, Section, VerbSection, Workers


class Schedule(Section):
    """A schedule of torch.optim.lr_scheduler and its options: every further key is an option of that class."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    name: str = Field(description="a class of torch.optim.lr_scheduler, in any case: CosineAnnealingLR, OneCycleLR, …")
    per: Literal["round", "epoch"] = Field(default="round", description="how often it is stepped")

    @property
    def options(self) -> dict[str, JsonValue]:
        """Keyword arguments of the class."""
        return self.__pydantic_extra__


class EmaOptions(Section):
    """An exponential moving average of the weights."""

    decay: float = Field(
        default=0.999,
        gt=0,
        lt=1,
        description="how much of it stays at each step; less at first: (1 + step) / (10 + step)",
    )


class LawaOptions(Section):
    """The mean of the latest versions of the weights."""

    checkpoints: int = Field(default=5, ge=2, description="versions, the newest among them")
    every: Every = Field(default=EveryEpochs(epochs=1.0), description="between them, {epochs: X} or {rounds: N}")


class Average(OneOf):
    """What the model is the average of."""

    ema: EmaOptions | None = None
    lawa: LawaOptions | None = None


class Best(Section):
    """By what one version of the weights is better than another."""

    metric: str = Field(default="accuracy", min_length=1, description="figure of Task.metrics, on validation data")
    mode: Literal["max", "min"] = Field(default="max", description="whether more of the metric is better, or less")


class EarlyStopping(Best):
    """The run ends when the metric no longer improves, and its model is the best version."""

    patience: int = Field(default=3, ge=1, description="evaluations in a row without an improvement")
    min_delta: float = Field(default=0.0, ge=0, description="a smaller improvement is none")


class Checkpoints(Section):
    """Versions of the weights that are written as safetensors while the run goes on."""

    every: Every | None = Field(default=None, description="between them, {epochs: X} or {rounds: N}; null: none")
    keep: int = Field(default=3, ge=1, description="of those at intervals the newest so many")
    best: Best | None = Field(default=None, description="also the best version so far, by this; null: no such file")


class Train(VerbSection):
    """Synchronous data-parallel training that does not wait for stragglers."""

    workers: Workers = Field(description="processes that compute gradients")
    batch_size: int = Field(default=64, ge=1, description="samples of one gradient")
    quorum: Quorum = Field(default="dynamic", description="how many gradients of a round to wait for")
    optimizer: Optimizer = Field(
        default=Optimizer.model_validate({"name": "sgd", "lr": 0.05, "momentum": 0.9}),
        description="an optimizer of torch.optim and its options",
    )
    clip_norm: float | None = Field(
        default=None,
        gt=0,
        description="largest norm of a round's mean gradient, of each one where steps are local; null: no clipping",
    )
    micro_batch_size: int | None = Field(
        default=None, ge=1, description="samples of one forward and backward pass; null: the whole batch at once"
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="of forward and backward passes, by torch.autocast; float16 scales the loss"
    )
    late: Literal["drop", "interrupt"] = Field(
        default="drop",
        description="gradients that come too late: drop them when they are done, or interrupt them at a micro-batch",
    )
    learning_rate_schedule: Schedule | None = Field(
        default=None, description="how the learning rate changes over the run; null: it stays"
    )
    learning_rate_rule: Literal["constant", "proportional", "knee"] = Field(
        default="constant",
        description="how it follows k, the gradients of a step: not at all, as k / workers, or as range tests say",
    )
    local_steps: int = Field(default=1, ge=1, description="steps of its own that a worker takes before it answers")
    outer_optimizer: Optimizer | None = Field(
        default=None,
        description="steps along the mean of what local_steps > 1 changed; null: sgd, lr 0.7, momentum 0.9, nesterov",
    )
    average: Average | None = Field(
        default=None, description="the model is an average of versions of the weights, ema or lawa; null: the last one"
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="end before the last epoch when nothing improves; null: train for all"
    )
    checkpoints: Checkpoints = Field(
        default=Checkpoints(), description="versions of the weights in files, in the run's folder or storage"
    )
    epochs: float = Field(default=1.0, gt=0, description="passes over the training data; fractions are allowed")
    evaluate_every: Every = Field(
        default=EveryEpochs(epochs=1.0),
        description="between evaluations on validation data, {epochs: X} or {rounds: N}; the end is always evaluated",
    )

    @property
    def outer(self) -> Optimizer:
        """The outer optimizer, where steps are local."""
        return self.outer_optimizer or OUTER


OUTER = Optimizer.model_validate({"name": "sgd", "lr": 0.7, "momentum": 0.9, "nesterov": True})
"""Source: Douillard et al. 2023, DiLoCo, arXiv:2311.08105, section 3."""
