"""What is subtracted from rewards, so that a step follows differences and not the rewards' common height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def leave_one_out(rewards: Sequence[float]) -> list[float]:
    """Each of two or more rewards less the mean of the others: (r - mean)·M/(M - 1), an unbiased baseline."""
    count = len(rewards)
    mean = sum(rewards) / count
    return [(reward - mean) * count / (count - 1) for reward in rewards]


@dataclass(slots=True)
class Average:
    """An exponential average without the bias of its start: a weighted mean of all it was given, the last included.

    So the first advantage is exactly 0. momentum: in [0, 1).
    """

    momentum: float
    weighted: float = 0.0
    weight: float = 0.0

    def take(self, reward: float) -> None:
        self.weighted = self.momentum * self.weighted + (1 - self.momentum) * reward
        self.weight = self.momentum * self.weight + (1 - self.momentum)

    @property
    def value(self) -> float:
        return self.weighted / self.weight

    def state_dict(self) -> list[float]:
        return [self.weighted, self.weight]

    def load_state_dict(self, state: Sequence[float]) -> None:
        self.weighted, self.weight = state
