"""The options of `search.method.autohas`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from orchestrator.spec.common import Quorum, Section


class AutohasOptions(Section):
    """Short tries of drawn configurations teach a policy; its favourites are trained from scratch."""

    updates: int = Field(default=100, ge=1, description="updates of the policy at most")
    candidates: int | None = Field(
        default=None, ge=2, description="configurations drawn for an update; null: one a worker, four at least"
    )
    quorum: Quorum = Field(default="full", description="how many of them an update waits for")
    late: bool = Field(default=True, description="count results that were not waited for in the next update")
    steps: int = Field(default=20, ge=1, description="training steps of a candidate; fewer than 20 mislead")
    validation_samples: int = Field(
        default=256, ge=1, description="samples that the candidates of an update are validated on, drawn anew for each"
    )
    values: int = Field(
        default=5, ge=1, description="values that stand for a range, spaced evenly, in the logarithm where it is one"
    )
    weights: Literal["auto", "fresh", "young", "kept"] = Field(
        default="auto",
        description="what candidates begin with. fresh: weights of their own; young: weights that architectures share, "
        "made anew now and then; kept: shared weights throughout; auto: kept if only the architecture is searched, "
        "else fresh",
    )
    renew: int = Field(default=5, ge=1, description="updates after which young weights are made anew")
    share_steps: int = Field(
        default=1,
        ge=1,
        description="steps of each architecture of an update on the shared weights, with the default optimizer",
    )
    warm_up: int | None = Field(
        default=None,
        ge=0,
        description="rounds that only train shared weights, before the first update; null: a quarter "
        "of updates for kept weights, else 0",
    )
    learning_rate: float = Field(default=0.3, gt=0, description="of Adam, on the policy's logits")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of Adam, its beta1")
    baseline: Literal["leave_one_out", "average", "none"] = Field(
        default="leave_one_out",
        description="what is subtracted from a reward: the mean of the others of its update, "
        "a running average, or nothing",
    )
    entropy: float = Field(default=0.0, ge=0, description="weight of the policy's entropy beside the reward")
    floor: float = Field(
        default=0.0, ge=0, lt=1, description="part of the probability that is spread evenly, so that no option dies out"
    )
    confident: float = Field(
        default=0.9, gt=0, le=1, description="stop where one configuration has more than this probability"
    )
