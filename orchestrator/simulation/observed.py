"""What real steps showed of a task: losses and norms of gradients, from a probe here or a finished run's journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean
from typing import NamedTuple

from orchestrator.records import Actions, Told


class Step(NamedTuple):
    """One step of the optimizer along the mean ḡ of k gradients.

    loss: mean of theirs. norm2: ‖ḡ‖². variance: of one of them, V = (Σ‖g‖² - k‖ḡ‖²)/(k - 1); None where k = 1.
    loss_spread: standard deviation of their losses over the mean; None where k = 1. learning_rate: of this step.
    reach: what the weights move in the long run along one gradient, over that; None where it was not measured.
    """

    k: int
    loss: float
    norm2: float
    variance: float | None
    loss_spread: float | None
    learning_rate: float
    reach: float | None

    @property
    def gradient_norm2(self) -> float | None:
        """An unbiased sample of N = ‖∇F‖², clipped at 0; None where k = 1."""
        return None if self.variance is None else max(self.norm2 - self.variance / self.k, 0.0)


@dataclass(slots=True)
class Watch:
    """Gathers steps from what a core did. init: metrics of the work that made the first weights."""

    steps: list[Step] = field(default_factory=list)
    init: Mapping[str, float] = field(default_factory=dict)
    _counted: list[Told] = field(default_factory=list)

    def seen(self, actions: Actions) -> None:
        for told in actions.told:
            if told.result.failure is not None:
                continue
            match told.work.kind:
                case "gradient" | "local_steps":
                    self._counted.append(told)
                case "aggregate":
                    self.steps.append(_step([told.result.metrics for told in self._counted], told.result.metrics))
                    self._counted = []
                case "init":
                    self.init = told.result.metrics


def mean_of(samples: Sequence[float | None]) -> float:
    """Of those that are there, 0 if none is."""
    return fmean([sample for sample in samples if sample is not None] or [0.0])


def _step(gradients: Sequence[Mapping[str, float]], aggregate: Mapping[str, float]) -> Step:
    k, norm2, learning_rate = len(gradients), aggregate["norm2"], aggregate["learning_rate"]
    losses = [gradient["loss"] for gradient in gradients]
    loss = fmean(losses)
    variance = spread = None
    if k > 1:
        variance = max(sum(gradient["norm2"] for gradient in gradients) - k * norm2, 0.0) / (k - 1)
        spread = sqrt(sum((one - loss) ** 2 for one in losses) / (k - 1)) / abs(loss) if loss else None
    effective = aggregate.get("effective_learning_rate")
    reach = effective / learning_rate if effective is not None and learning_rate > 0 else None
    return Step(k, loss, norm2, variance, spread, learning_rate, reach)
