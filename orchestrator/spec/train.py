"""The section `train`: synchronous data-parallel training that does not wait for stragglers."""

from __future__ import annotations

from pydantic import Field

from orchestrator.spec.common import Every, EveryEpochs, Optimizer, Quorum, VerbSection, Workers


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
        default=None, gt=0, description="largest norm of a round's mean gradient; null: no clipping"
    )
    epochs: float = Field(default=1.0, gt=0, description="passes over the training data; fractions are allowed")
    evaluate_every: Every = Field(
        default=EveryEpochs(epochs=1.0),
        description="between evaluations on validation data, {epochs: X} or {rounds: N}; the end is always evaluated",
    )
