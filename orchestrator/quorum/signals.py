"""The strategy's signals, read into one checked record of the last step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.records import Json

HUGE = 1e150


@dataclass(frozen=True, slots=True)
class Step:
    """What the last closed step measured; every field is finite.

    loss: mean of the counted mini-batch losses. k: >= 1, how many gradients were averaged into ḡ.
    sum_norm2: Σ‖g_j‖² over them, >= 0. norm2: ‖ḡ‖², >= 0, (loss/weight)².
    learning_rate: η/(1 - momentum) >= 0, weight²/loss: what one gradient moves the weights in the long run.
    exponent: p >= 0, how η follows k, η(k) ∝ k^p: 0 where it does not, 1 in proportion.
    change_norm2: ‖ḡ_t - ḡ_{t-1}‖², or None. dot: ḡ_t·Δ_{t-1} with the weight step Δ before it, or None.
    step_norm2: ‖Δ_{t-1}‖², or None.
    """

    loss: float
    k: int
    sum_norm2: float
    norm2: float
    learning_rate: float
    exponent: float = 0.0
    change_norm2: float | None = None
    dot: float | None = None
    step_norm2: float | None = None

    def learning_rate_at(self, k: int) -> float:
        """η(k), momentum included, given that this step used its η with its own k."""
        return self.learning_rate * float((k / self.k) ** self.exponent)

    def to_json(self) -> Json:
        """What later steps need of it: all but the three that look back."""
        return [self.loss, self.k, self.sum_norm2, self.norm2, self.learning_rate, self.exponent]

    @classmethod
    def from_json(cls, data: Any) -> Step:
        return cls(*data)


def finite(signals: Mapping[str, float], name: str) -> float | None:
    """The signal of that name, or None where it is absent, NaN, or too large for arithmetic on its square."""
    value = signals.get(name)
    return float(value) if value is not None and abs(value) < HUGE else None


def read_step(signals: Mapping[str, float]) -> Step | None:
    """The last step, or None where a needed signal is absent, non-finite or impossible: there is nothing to learn then.

    Needed: loss, k >= 1, sum_norm2 and norm2 >= 0, learning_rate >= 0; where they are given, 0 <= momentum < 1 and
    0 <= learning_rate_exponent <= 2 (no rule's is beyond 1, and a measured one not far).
    """
    loss, k, sum_norm2, norm2, learning_rate = (
        finite(signals, name) for name in ("loss", "k", "sum_norm2", "norm2", "learning_rate")
    )
    momentum, exponent = (finite({name: 0.0, **signals}, name) for name in ("momentum", "learning_rate_exponent"))
    if loss is None or k is None or sum_norm2 is None or norm2 is None or learning_rate is None:
        return None
    if momentum is None or exponent is None or not (0 <= momentum < 1 and 0 <= exponent <= 2):
        return None
    if k < 1 or min(sum_norm2, norm2, learning_rate) < 0:
        return None
    return Step(
        loss=loss,
        k=int(k),
        sum_norm2=sum_norm2,
        norm2=norm2,
        learning_rate=learning_rate / (1 - momentum),
        exponent=exponent,
        change_norm2=finite(signals, "change_norm2"),
        dot=finite(signals, "step_dot_gradient"),
        step_norm2=finite(signals, "step_norm2"),
    )
