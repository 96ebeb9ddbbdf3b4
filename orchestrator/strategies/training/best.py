"""The best version of the weights by a validation metric, and whether it is time to stop."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from orchestrator.records import Ref

NONE = Ref("")


@dataclass(slots=True)
class Best:
    """weights: of the best version so far, after `step` steps, whose metric is `value`; "" at first.

    waited: evaluations since the last one that was better by more than min_delta. judged: the newest that were seen.
    """

    weights: Ref = NONE
    step: int = 0
    value: float = 0.0
    waited: int = 0
    judged: Ref = NONE

    def saw(self, value: float, step: int, weights: Ref, mode: Literal["max", "min"], min_delta: float) -> None:
        """value: of a version's evaluation; one that is not finite is no improvement."""
        self.judged = weights
        gain = value - self.value if mode == "max" else self.value - value
        first = not self.weights
        if isfinite(value) and (first or gain > 0):
            self.weights, self.step = weights, step
            self.waited = 0 if first or gain > min_delta else self.waited + 1
            self.value = value
        else:
            self.waited += 1
