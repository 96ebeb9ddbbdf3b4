"""What a run under failures came to: pure arithmetic on when gradients were finished, kept and lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

SMOOTHED = 100  # steps in the mean of the loss that is watched


class Kill(NamedTuple):
    """at_s: since the first gradient. victim: in [0, 1), which of the workers alive then."""

    at_s: float
    victim: float


def schedule(every_s: float, window_s: float, seed: int) -> tuple[Kill, ...]:
    """One kill in each `every_s`, at random in its middle half; the same for all systems."""
    draw = Random(f"{every_s:g} {seed}")
    return tuple(
        Kill(every_s * (number + 0.25 + draw.random() / 2), draw.random()) for number in range(int(window_s / every_s))
    )


class Kept(NamedTuple):
    """From at_s on, since the first gradient, this many gradients are in the weights: fewer than before after a loss.

    loss: of the step that made it so; None where work was lost.
    """

    at_s: float
    gradients: int
    loss: float | None


@dataclass(frozen=True, slots=True)
class History:
    """kept: in order of time, not empty. computed: gradients finished in the window, on all workers.

    window_s: from the first gradient on. killed: kills that found a worker alive.
    """

    kept: Sequence[Kept]
    computed: int
    window_s: float
    killed: int

    @property
    def useful_per_s(self) -> float:
        """Gradients in the weights at the window's end, over the window."""
        return self.kept[-1].gradients / self.window_s

    @property
    def work_goodput(self) -> float:
        """Useful work / all work, in gradients; those that a kill interrupts are on neither side."""
        return min(1.0, self.kept[-1].gradients / self.computed)

    def time_goodput(self, undisturbed_per_s: float) -> float:
        """Useful time / elapsed: what the useful gradients take the same system without failures, over the window."""
        return self.useful_per_s / undisturbed_per_s

    def reached_s(self, loss: float) -> float:
        """When the mean loss of the last SMOOTHED steps in the weights was first this low; NaN if not in the window."""
        steps: list[tuple[int, float]] = []
        for at_s, gradients, latest in self.kept:
            while steps and steps[-1][0] > gradients:
                steps.pop()
            if latest is not None:
                steps.append((gradients, latest))
            if len(steps) >= SMOOTHED and sum(step[1] for step in steps[-SMOOTHED:]) / SMOOTHED <= loss:
                return at_s
        return float("nan")
