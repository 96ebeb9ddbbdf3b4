"""The rule of `dynamic`: most progress per second towards the noise floor that k gradients allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.quorum.round_times import RoundTimes
from orchestrator.quorum.signals import Step

NOISE_PRICE = 2.0
TOLERANCE = 0.98


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the run stands.

    step: the last step; its learning rate counts, momentum included, and how that follows k.
    variance: V >= 0 of one worker's gradient, (loss/weight)².
    gap: mean loss less the loss that cannot be got below, F - F*, in loss; may be <= 0 when that is not known well.
    """

    step: Step
    variance: float
    gap: float

    def noise_floor(self, k: int) -> float:
        """Φ(k) = η(k)·V/(4k), in loss: how far above the minimum SGD with k gradients a step hovers in the end."""
        return self.step.learning_rate_at(k) * self.variance / (4 * k)

    def gain(self, k: int) -> float:
        """G(k) = η(k)·(1 - 2Φ(k)/(F - F*)): progress of one step, up to a factor that does not depend on k."""
        price = NOISE_PRICE * self.noise_floor(k)
        eta = self.step.learning_rate_at(k)
        if price <= 0:
            return eta
        return eta * (1 - price / self.gap) if self.gap > 0 else -eta


class Choice(NamedTuple):
    """k: 1..n. limit: the k beyond which results per second fall. hopeless: no k promised progress."""

    k: int
    limit: int
    hopeless: bool


def most_progress_per_second(progress: Progress, times: RoundTimes) -> Choice:
    """The largest k whose G(k)/T(k) is within 2 % of the best, but never beyond argmax k/T(k).

    Near a minimum the expected loss relaxes at a rate ∝ η towards F* + Φ(k): little noise is wanted only once Φ(k) is
    no longer small against F - F*. If no G(k) is positive, the run sits on its floor: take argmax k/T(k).

    Holds: equal T(k) give n. A smaller gap or a larger variance never gives a smaller k at constant η. Multiplying all
        T by a constant, or the loss by a and η by 1/a, changes nothing.
    Cost: O(len(times.ks)).
    Source: ours. Xu, Neglia, Sebastianelli 2020 (arXiv:2004.14696) take argmax G(k)/T(k) with the smoothness bound's
        G (see `gain_smooth`), which charges noise in full at each step, though it is forgotten after about 1/(2ηλ)
        steps. The tolerance puts a tie, and a flat stretch before a step of T, at its far end; the limit keeps a
        doubtful F* from waiting for stragglers.
    """
    limit = times.most_results_per_second()
    gains = [progress.gain(k) for k in times.ks]
    rates = [gain / seconds for gain, seconds in zip(gains, times.seconds, strict=True)]
    best = max(rates)
    if not best > 0:
        return Choice(limit, limit, hopeless=True)
    enough = max(k for k, rate in zip(times.ks, rates, strict=True) if rate >= TOLERANCE * best)
    return Choice(min(limit, enough), limit, hopeless=False)
