"""What the loss is multiplied by so that small gradients survive float16."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 2.0**16
MOST = 2.0**24
GROWS_AFTER = 2000  # steps without an overflow


@dataclass(slots=True)
class LossScale:
    """Halved when a gradient overflows at it, doubled after 2,000 steps in a row without one; a power of two >= 1.

    Source: torch.amp.GradScaler's rule and numbers.
    """

    scale: float = FIRST
    steps: int = 0  # since it changed

    def stepped(self, used: float) -> None:
        """used: the smallest scale at which a gradient of the step was computed, after overflows at larger ones."""
        if used < self.scale:
            self.scale, self.steps = used, 0
        self.steps += 1
        if self.steps >= GROWS_AFTER:
            self.scale, self.steps = min(MOST, self.scale * 2), 0
