"""T(k): how long a round of n workers takes until its k-th result."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from orchestrator.records import Json


@dataclass(frozen=True, slots=True)
class RoundTimes:
    """Mean seconds until the k-th result, for some of the k in 1..n.

    ks: rising, 1 <= k <= n, the last is n. seconds: one a k, > 0, never falling.
    """

    ks: tuple[int, ...]
    seconds: tuple[float, ...]

    @classmethod
    def rising(cls, ks: Sequence[int], seconds: ArrayLike) -> RoundTimes:
        """Made from estimates >= 0 by their running maximum; zeros become a billionth of the longest.

        When all are zero every round is free, which is told as one second for each k.
        """
        running = np.maximum.accumulate(np.asarray(seconds, dtype=np.float64))
        longest = float(running[-1])
        positive = np.maximum(running, longest * 1e-9) if longest > 0 else np.ones_like(running)
        return cls(tuple(int(k) for k in ks), tuple(float(s) for s in positive))

    @property
    def n(self) -> int:
        """How many workers this is about."""
        return self.ks[-1]

    def at(self, k: int) -> float:
        """Seconds at the smallest estimated value >= k, or at n if k is beyond."""
        return self.seconds[min(bisect_left(self.ks, k), len(self.ks) - 1)]

    def most_results_per_second(self) -> int:
        """argmax k/T(k), of equals the larger. More than that lowers the rate of samples: Xu et al.'s blind rule.

        Averaging still more gradients is cheaper by lowering the learning rate than by waiting.
        """
        return max(zip(self.ks, self.seconds, strict=True), key=lambda point: (point[0] / point[1], point[0]))[0]

    def rescaled(self, n: int) -> RoundTimes:
        """The same share of n workers takes the same time: for the rest of a round in which membership changed."""
        scaled = {-(-k * n // self.n): seconds for k, seconds in zip(self.ks, self.seconds, strict=True)}
        return RoundTimes(tuple(scaled), tuple(scaled.values()))

    def to_json(self) -> Json:
        return {"ks": list(self.ks), "seconds": list(self.seconds)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RoundTimes:
        return cls(tuple(data["ks"]), tuple(data["seconds"]))
