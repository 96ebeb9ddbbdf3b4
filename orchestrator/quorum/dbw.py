"""`dbw`: dynamic backup workers as their paper has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal, cast

from orchestrator.quorum.gain_smooth import Landscape, largest_decrease_per_second
from orchestrator.quorum.noise import (
    Before,
    curvature_from_losses,
    curvature_from_step,
    gradient_norm2,
    variance_sample,
)
from orchestrator.quorum.order_table import order_table, remembered
from orchestrator.quorum.signals import Step, read_step
from orchestrator.records import Decision, Evidence, Json

SAMPLES = 5
STEPS = 50
LOSS_RISE = 1.01


@dataclass(frozen=True, slots=True)
class Dbw:
    """Wait for argmax G(k)/T(h, k): the most certain decrease of the loss per second (see `gain_smooth`).

    T comes from arrival times, given the h that was waited for before (see `order_table`). Waits for all until V, L and
    T can be estimated and when no k promises progress; for one more than last time at least when the loss rose by 1 %.
    Seldom more than a tenth slower than waiting for all. But one step's decrease of the loss drowns in noise: with
    small batches it stays near n, and where η ∝ k it turns to n for ten rounds at a time. `dynamic` is better at both.

    Args:
        curvature: L from "losses", as in the paper, the mean of the last 5 steps; or from the gradient's change along
            "steps", over the last 50, far less noisy, for plain SGD only.
    Cost: one `order_table` a decision. Memory: at most 110 numbers and 24 times.
    Source: Xu, Neglia, Sebastianelli 2020, arXiv:2004.14696, from an account of it: its constants may differ.
    """

    curvature: Literal["losses", "steps"] = "losses"

    def __post_init__(self) -> None:
        if self.curvature not in ("losses", "steps"):
            raise ValueError(f"dbw knows curvature: losses or steps, not {self.curvature!r}")

    def decide(self, evidence: Evidence) -> Decision:
        n = evidence.present
        past = _Past.from_json(evidence.memory)
        now = past if past.round == evidence.round else self._absorbed(past, evidence)
        table = order_table(evidence.arrivals, n, current=now.waited_for or n, by_rank=remembered(now.by_rank))
        if table is not None:
            now = replace(now, by_rank=table.memory())
        if table is None or now.last is None or not now.variances or not now.curvatures:
            return now.decided(n, f"all {n} present: no statistics yet, {_missing(now, timed=table is not None)}")
        times = table.after(now.waited_for or n)
        landscape = Landscape(now.last.gradient_norm2, now.last.variance, now.mean_curvature, now.last.step)
        numbers = f"N {landscape.gradient_norm2:.3g}, V {landscape.variance:.3g}, L {landscape.curvature:.3g}"
        best = largest_decrease_per_second(landscape, times)
        if best is None:
            return now.decided(n, f"all {n} present: no k promises progress; {numbers}")
        at_least = min(now.last.step.k + 1, n) if now.loss_rose else 1
        k = max(best, at_least)
        reason = (
            f"the loss rose, so more than {now.last.step.k}" if k > best else "largest decrease of the loss per second"
        )
        seconds = f"{times.at(k):.3g} s a round against {times.at(n):.3g} s for all"
        return now.decided(k, f"k = {k} of {n}: {reason}; {seconds}; {numbers}")

    def _absorbed(self, past: _Past, evidence: Evidence) -> _Past:
        """The past with the step that was closed since."""
        now = replace(past, round=evidence.round, waited_for=past.wait_for)
        step = read_step(evidence.signals)
        if step is None:
            return now
        sample = variance_sample(step, past.last.step.k if past.last else None)
        variances = past.variances if sample is None else (*past.variances, sample)[-SAMPLES:]
        variance = fmean(variances) if variances else 0.0
        return replace(
            now,
            last=Before(step, max(gradient_norm2(step, variance), 0.0), variance),
            variances=variances,
            curvatures=(*past.curvatures, *self._curvature(past, step))[-self._window :],
            loss_rose=past.last is not None and step.loss > LOSS_RISE * past.last.step.loss,
        )

    def _curvature(self, past: _Past, step: Step) -> tuple[tuple[float, float], ...]:
        """The sample of L that this step gives, as numerator and denominator, or none."""
        if past.last is None or not past.variances:
            return ()
        if self.curvature == "losses":
            sample = curvature_from_losses(past.last, step)
            return () if sample is None else ((sample, 1.0),)
        fraction = curvature_from_step(past.last, step)
        return () if fraction is None else (fraction,)

    @property
    def _window(self) -> int:
        return SAMPLES if self.curvature == "losses" else STEPS


def _missing(past: _Past, *, timed: bool) -> str:
    if past.last is None:
        return "no step was seen"
    if not past.variances:
        return "no variance of the gradients"
    return "the curvature takes two steps" if timed else "no round has closed"


@dataclass(frozen=True, slots=True)
class _Past:
    """What a run's earlier rounds taught.

    round: the last that was decided. last: the last usable step and its estimates. variances: samples of V, newest
    last. curvatures: samples of L, numerator and denominator. loss_rose: at the last step. by_rank: see `OrderTable`.
    wait_for: what was decided last. waited_for: what was decided last in the round before, 0 if there was none.
    """

    round: int | None = None
    last: Before | None = None
    variances: tuple[float, ...] = ()
    curvatures: tuple[tuple[float, float], ...] = ()
    loss_rose: bool = False
    by_rank: Json = None
    wait_for: int = 0
    waited_for: int = 0

    @property
    def mean_curvature(self) -> float:
        """L >= 0; there must be a sample."""
        return max(sum(top for top, _ in self.curvatures) / sum(bottom for _, bottom in self.curvatures), 0.0)

    def decided(self, wait_for: int, why: str) -> Decision:
        return Decision(wait_for, why, memory=replace(self, wait_for=wait_for).to_json())

    def to_json(self) -> Json:
        last = self.last
        return {
            "round": self.round,
            "last": None if last is None else [last.step.to_json(), last.gradient_norm2, last.variance],
            "variances": list(self.variances),
            "curvatures": [list(fraction) for fraction in self.curvatures],
            "loss_rose": self.loss_rose,
            "by_rank": self.by_rank,
            "wait_for": self.wait_for,
            "waited_for": self.waited_for,
        }

    @classmethod
    def from_json(cls, memory: Json) -> _Past:
        if memory is None:
            return cls()
        past = dict(cast(Mapping[str, Any], memory))
        if past["last"] is not None:
            step, norm2, variance = past["last"]
            past["last"] = Before(Step.from_json(step), norm2, variance)
        past["variances"] = tuple(past["variances"])
        past["curvatures"] = tuple((top, bottom) for top, bottom in past["curvatures"])
        return cls(**past)
