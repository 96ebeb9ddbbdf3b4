"""The noisy quadratic that stands in for the loss: its curvatures, its gradients' noise, and how SGD goes down it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.simulation.observed import Step, mean_of

Vector = NDArray[np.float64]

MODES = 256
POWERS = np.linspace(0.25, 2.5, 10)
SCALES = 2.0 ** np.arange(-3, 4)
PRIOR = 0.02  # weight of (ln of the scale)² beside the squared errors of ln loss
FIRST = 3  # steps whose mean is taken for the start
LEAST_GAP = 1e-9


@dataclass(frozen=True, slots=True)
class Curve:
    """F(w) = ½ Σ h_i w_i²; a gradient adds noise whose covariance is diagonal and ∝ h, with trace V.

    curvature: h, shape [modes], falling as i^-power, > 0. start: w_i², the same for all modes, at the first step.
    variance: V >= 0 of one worker's gradient. loss_spread: of one gradient's loss, over that loss.
    reach: see `Step`; error: root mean square of ln(modelled/observed loss) over the `steps` it was fitted to.
    """

    curvature: Vector
    power: float
    start: float
    variance: float
    loss_spread: float
    reach: float
    error: float
    steps: int

    def descent(self) -> Descent:
        return Descent(self.curvature, np.full(MODES, self.start), _noise(self.curvature) * self.variance)


class Statistics(NamedTuple):
    """Expected ones of one step along k gradients, see `Step` and `orchestrator.quorum.signals.Step`."""

    norm2: float
    change_norm2: float
    step_norm2: float
    step_dot_gradient: float


@dataclass(slots=True)
class Descent:
    """Where SGD is, as the second moments of each mode: expectations, which are exact for a quadratic.

    Source: Zhang et al. 2019, "Which algorithmic choices matter at which batch sizes? Insights from a noisy quadratic
    model", arXiv:1907.04164, section 3; momentum counts by its long-run reach η/(1 - m), as in Mandt et al. 2017.
    """

    curvature: Vector
    moments: Vector  # E[w_i²]
    noise: Vector  # variance of one gradient, by mode
    previous_k: int = 0
    change_norm2: float = 0.0
    step_norm2: float = 0.0
    step_dot_gradient: float = 0.0
    loss: float = field(init=False)
    gradient_norm2: float = field(init=False)  # ‖∇F‖²

    def __post_init__(self) -> None:
        self._look()

    def _look(self) -> None:
        bent = self.curvature * self.moments
        self.loss, self.gradient_norm2 = float(bent.sum()) / 2, float(self.curvature @ bent)

    def step(self, learning_rate: float, k: int) -> Statistics:
        """One along the mean of k >= 1 gradients; returns what was measured at it. learning_rate: momentum included."""
        h, noise = self.curvature, self.noise / k
        true, variance = self.gradient_norm2, float(noise.sum())
        norm2 = true + variance
        before = float(self.noise.sum()) / self.previous_k if self.previous_k else 0.0
        told = Statistics(norm2, self.change_norm2 + variance + before, self.step_norm2, self.step_dot_gradient)
        bent = float(h**3 @ self.moments + h @ noise)  # E[ḡ·Hḡ]
        self.change_norm2 = learning_rate**2 * float(h**4 @ self.moments + h**2 @ noise)
        self.step_norm2, self.previous_k = learning_rate**2 * norm2, k
        self.step_dot_gradient = -learning_rate * true + learning_rate**2 * bent
        self.moments = (1 - learning_rate * h) ** 2 * self.moments + learning_rate**2 * noise
        self._look()
        return told

    def best_rate(self, k: int) -> float:
        """The learning rate that lowers the expected loss most in one step along k gradients."""
        h = self.curvature
        return self.gradient_norm2 / float(h**3 @ self.moments + h @ self.noise / k)


def fitted(steps: Sequence[Step]) -> Curve:
    """The curve that these steps, at least one, would have come down likest, by least squares in ln loss.

    The mean of the first three losses fixes the start, the squared norm of their gradients the curvature of each power
    tried (0.25 to 2.5), give or take a factor 8 that costs; V is the mean over the later half. Steps with k = 1 alone
    say nothing of V: it is 0.
    Cost: 0.1 s a thousand steps.
    """
    later = steps[len(steps) // 2 :]
    variance, spread = mean_of([step.variance for step in later]), mean_of([step.loss_spread for step in later])
    reach = mean_of([step.reach for step in later]) or 1.0
    gap = max(mean_of([step.loss for step in steps[:FIRST]]), LEAST_GAP)
    norm2 = max(mean_of([step.gradient_norm2 or step.norm2 for step in steps[:FIRST]]), LEAST_GAP * gap)
    powers, scales = (grid.ravel() for grid in np.meshgrid(POWERS, SCALES, indexing="ij"))
    shape = np.arange(1, MODES + 1)[None, :] ** -powers[:, None]  # (tried, modes)
    sum1, sum2 = shape.sum(axis=1), (shape**2).sum(axis=1)
    curvature = shape * (scales * norm2 * sum1 / (2 * gap * sum2))[:, None]
    start = 2 * gap / curvature.sum(axis=1)
    errors = np.log(scales) ** 2 * PRIOR * len(steps)
    squares = np.zeros_like(errors)
    moments = np.repeat(start[:, None], MODES, axis=1)
    noise = _noise(curvature) * variance
    with np.errstate(all="ignore"):
        for step in steps:
            modelled = np.maximum((curvature * moments).sum(axis=1) / 2, LEAST_GAP)
            squares += (np.log(modelled) - log(max(step.loss, LEAST_GAP))) ** 2
            eta = step.learning_rate * reach
            moments = (1 - eta * curvature) ** 2 * moments + eta**2 * noise / step.k
    best = int(np.argmin(np.nan_to_num(errors + squares, nan=np.inf)))
    return Curve(
        curvature=curvature[best],
        power=float(powers[best]),
        start=float(start[best]),
        variance=variance,
        loss_spread=spread,
        reach=reach,
        error=float(np.sqrt(squares[best] / len(steps))),
        steps=len(steps),
    )


def _noise(curvature: Vector) -> Vector:
    """Shares of V by mode, ∝ h."""
    shares: Vector = curvature / curvature.sum(axis=-1, keepdims=True)
    return shares
