"""F and F*: the smoothed loss of a run and the loss it cannot get below."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean

SMOOTHED = 30
PLATEAU = 60


@dataclass(frozen=True, slots=True)
class LossHistory:
    """The losses of the last steps, and what they say about the floor.

    losses: the last 60 at most, newest last. since_reset: how many came since the last plateau.
    floor: F*, in loss. least: what the user knows about it (0 for cross entropy); F* never goes below.
    """

    losses: tuple[float, ...] = ()
    since_reset: int = 0
    floor: float = 0.0
    least: float = 0.0

    @property
    def mean(self) -> float:
        """F: mean of the last 30 losses; there must be one."""
        return fmean(self.losses[-SMOOTHED:])

    @property
    def gap(self) -> float:
        """F - F*."""
        return self.mean - self.floor

    def after(self, loss: float, noise_floor: float) -> LossHistory:
        """The history with one more loss, taken at a step whose noise floor is Φ = `noise_floor` >= 0.

        Plateau: once 60 losses came since the last one and the newer 30 are no lower on average than the older 30, the
        run sits on its noise floor, so that F* = max(F*, F - Φ): the next k at least doubles. Then the count starts
        again. F* stays below F - Φ/2.
        """
        history = replace(self, losses=(*self.losses, loss)[-PLATEAU:], since_reset=self.since_reset + 1)
        mean, floor, since_reset = history.mean, history.floor, history.since_reset
        half = PLATEAU // 2
        if since_reset >= PLATEAU and fmean(history.losses[half:]) >= fmean(history.losses[:half]):
            floor, since_reset = max(floor, mean - noise_floor), 0
        return replace(history, floor=max(min(floor, mean - noise_floor / 2), self.least), since_reset=since_reset)
