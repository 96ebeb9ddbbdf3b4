"""`adasync`: more results as the loss falls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, cast

from orchestrator.quorum.signals import finite
from orchestrator.records import Decision, Evidence

SMOOTHING = 0.1


@dataclass(frozen=True, slots=True)
class AdaSync:
    """Wait for k = min(n, ⌈k0·√(F0/F)⌉), with F the loss smoothed exponentially (factor 0.1) and F0 the first one.

    From minimising 2F·T(k)/(ηΔ) + LηV/k where T(k) ∝ k. Looks at no timings, so it is wrong where workers are equally
    fast or the learning rate grows with k, and it stays at k0 when the loss has a part that cannot be learnt. Waits for
    all until there is a loss, and when F is no longer positive.

    Args:
        k0: >= 1, the first k.
    Source: Dutta et al., "Slow and stale gradients can win the race" (AdaSync), the square-root form.
    """

    k0: int = 1

    def __post_init__(self) -> None:
        if self.k0 < 1:
            raise ValueError(f"adasync starts with k0 >= 1 results, not k0 = {self.k0}")

    def decide(self, evidence: Evidence) -> Decision:
        n = evidence.present
        past = cast(Mapping[str, Any], evidence.memory or {"round": None, "first": None, "loss": None})
        first, smoothed = past["first"], past["loss"]
        loss = finite(evidence.signals, "loss") if past["round"] != evidence.round else None
        if loss is not None:
            first = loss if first is None else first
            smoothed = loss if smoothed is None else smoothed + SMOOTHING * (loss - smoothed)
        memory = {"round": evidence.round, "first": first, "loss": smoothed}
        if smoothed is None:
            return Decision(n, f"all {n} present: no statistics yet, no loss was seen", memory=memory)
        if smoothed <= 0 or first <= 0:
            return Decision(n, f"all {n} present: the rule needs positive losses, not {smoothed:.3g}", memory=memory)
        wanted = self.k0 * sqrt(first / smoothed)
        k = n if wanted >= n else max(ceil(wanted - 1e-9), 1)
        why = f"k = {k} of {n}: {self.k0}·√({first:.3g}/{smoothed:.3g}) = {wanted:.3g}, as the loss fell"
        return Decision(k, why, memory=memory)
