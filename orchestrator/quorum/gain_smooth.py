"""The rule of `dbw`: most certain decrease of the loss per second, by the smoothness of the loss."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.quorum.round_times import RoundTimes
from orchestrator.quorum.signals import Step


@dataclass(frozen=True, slots=True)
class Landscape:
    """The loss around the present weights.

    gradient_norm2: N = ‖∇F‖² >= 0, variance: V >= 0, both (loss/weight)². curvature: L >= 0, loss/weight².
    step: the last step, for its learning rate, momentum included, and how that follows k.
    """

    gradient_norm2: float
    variance: float
    curvature: float
    step: Step

    def gain(self, k: int) -> float:
        """G(k) = (η - Lη²/2)·N - (Lη²/2)·V/k, η = η(k): the least that one step is expected to lower the loss by."""
        eta = self.step.learning_rate_at(k)
        noise = self.curvature * eta * eta / 2
        return (eta - noise) * self.gradient_norm2 - noise * self.variance / k


def largest_decrease_per_second(landscape: Landscape, times: RoundTimes) -> int | None:
    """argmax G(k)/T(k), of equals the larger; None when no G(k) is positive, so that no k promises progress.

    Holds: equal T(k) give n (at constant η, and for any η(k) < 1/L).
    Cost: O(len(times.ks)).
    Source: Xu, Neglia, Sebastianelli 2020, arXiv:2004.14696. Ours adds that ties go to the larger k.
    """
    rates = [(landscape.gain(k) / seconds, k) for k, seconds in zip(times.ks, times.seconds, strict=True)]
    rate, k = max(rates)
    return k if rate > 0 else None
