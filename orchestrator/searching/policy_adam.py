"""Adam over a few numbered vectors, each with a count of steps of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

EPSILON = 1e-8  # without it rounding of 1e-17 would become a whole step


@dataclass(slots=True)
class Moments:
    """After `steps` steps; first, second: running means of the gradient and of its square."""

    steps: int
    first: list[float]
    second: list[float]


@dataclass(slots=True)
class Adam:
    """Upwards: it maximises. A vector's first step moves each number by about the learning rate.

    Source: Kingma, Ba 2015, arXiv:1412.6980.
    """

    learning_rate: float
    beta1: float
    beta2: float
    moments: dict[int, Moments] = field(default_factory=dict)

    def step(self, number: int, vector: list[float], gradient: Sequence[float]) -> None:
        """Moves the vector in place. A gradient of zeros from the first step on moves nothing, exactly."""
        zeros = [0.0] * len(vector)
        moments = self.moments.setdefault(number, Moments(0, zeros, list(zeros)))
        moments.steps += 1
        correct1, correct2 = 1 - self.beta1**moments.steps, 1 - self.beta2**moments.steps
        for place, slope in enumerate(gradient):
            first = moments.first[place] = self.beta1 * moments.first[place] + (1 - self.beta1) * slope
            second = moments.second[place] = self.beta2 * moments.second[place] + (1 - self.beta2) * slope * slope
            vector[place] += self.learning_rate * (first / correct1) / (sqrt(second / correct2) + EPSILON)

    def state_dict(self) -> list[Any]:
        """JSON."""
        return [[number, m.steps, list(m.first), list(m.second)] for number, m in self.moments.items()]

    def load_state_dict(self, state: Sequence[Any]) -> None:
        self.moments = {number: Moments(steps, list(first), list(second)) for number, steps, first, second in state}
