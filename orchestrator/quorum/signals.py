"""The strategy's signals, read into one checked record of the last step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from orchestrator.records import Json

Scaling: TypeAlias = Literal["constant", "proportional"]
"""How the learning rate follows k: η(k) = η, or η(k) = η·k/k' where η was used with k'."""

HUGE = 1e150


@dataclass(frozen=True, slots=True)
class Step:
    """What the last closed step measured; every field is finite.

    loss: mean of the counted mini-batch losses. k: >= 1, how many gradients were averaged into ḡ.
    sum_norm2: Σ‖g_j‖² over them, >= 0. norm2: ‖ḡ‖², >= 0, (loss/weight)².
    learning_rate: η/(1 - momentum) >= 0, weight²/loss: what one gradient moves the weights in the long run.
    change_norm2: ‖ḡ_t - ḡ_{t-1}‖², or None. dot: ḡ_t·Δ_{t-1} with the weight step Δ before it, or None.
    step_norm2: ‖Δ_{t-1}‖², or None.
    """

    loss: float
    k: int
    sum_norm2: float
    norm2: float
    learning_rate: float
    change_norm2: float | None = None
    dot: float | None = None
    step_norm2: float | None = None

    def learning_rate_at(self, k: int, scaling: Scaling) -> float:
        """η(k), momentum included, given that this step used its η with its own k."""
        return self.learning_rate if scaling == "constant" else self.learning_rate * k / self.k

    def to_json(self) -> Json:
        """What later steps need of it: all but the three that look back."""
        return [self.loss, self.k, self.sum_norm2, self.norm2, self.learning_rate]

    @classmethod
    def from_json(cls, data: Any) -> Step:
        return cls(*data)


def finite(signals: Mapping[str, float], name: str) -> float | None:
    """The signal of that name, or None where it is absent, NaN, or too large for arithmetic on its square."""
    value = signals.get(name)
    return float(value) if value is not None and abs(value) < HUGE else None


def read_step(signals: Mapping[str, float]) -> Step | None:
    """The last step, or None where a needed signal is absent, non-finite or impossible: there is nothing to learn then.

    Needed: loss, k >= 1, sum_norm2 and norm2 >= 0, learning_rate >= 0, and 0 <= momentum < 1 where it is given.
    """
    loss, k, sum_norm2, norm2, learning_rate = (
        finite(signals, name) for name in ("loss", "k", "sum_norm2", "norm2", "learning_rate")
    )
    momentum = finite(signals, "momentum") if "momentum" in signals else 0.0
    if loss is None or k is None or sum_norm2 is None or norm2 is None or learning_rate is None or momentum is None:
        return None
    if k < 1 or min(sum_norm2, norm2, learning_rate) < 0 or not 0 <= momentum < 1:
        return None
    return Step(
        loss=loss,
        k=int(k),
        sum_norm2=sum_norm2,
        norm2=norm2,
        learning_rate=learning_rate / (1 - momentum),
        change_norm2=finite(signals, "change_norm2"),
        dot=finite(signals, "step_dot_gradient"),
        step_norm2=finite(signals, "step_norm2"),
    )


def require_scaling(quorum: str, scaling: str) -> None:
    """Raises ValueError unless it is one of `Scaling`."""
    if scaling not in ("constant", "proportional"):
        raise ValueError(f"{quorum} knows learning_rate: constant or proportional, not {scaling!r}")
