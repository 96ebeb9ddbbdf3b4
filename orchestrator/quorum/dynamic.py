"""`dynamic`, the default: as few results as the noise of their mean allows, by each worker's own round trips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from statistics import fmean
from typing import Any, cast

from orchestrator.quorum.gain_floor import Choice, Progress, most_progress_per_second
from orchestrator.quorum.loss_floor import LossHistory
from orchestrator.quorum.monte_carlo import round_times
from orchestrator.quorum.noise import variance_sample
from orchestrator.quorum.round_times import RoundTimes
from orchestrator.quorum.signals import Step, read_step
from orchestrator.records import Decision, Evidence, Json

VARIANCES = 5
REFRESH_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Dynamic:
    """Wait for the k that promises most progress per second, k between 1 and argmax k/T(k) (see `gain_floor`).

    Few while the loss is far above what the gradients' noise allows, more as it comes near; never so many that
    stragglers lower the rate of results. Times come from a simulation of the workers' own round trips (see
    `monte_carlo`), refreshed every fourth round and when the number of workers changed. Waits for all until a step with
    a variance was seen and half of the workers were timed; in the first round, whose stragglers nobody knows, for twice
    as long as the first result took at most, but for half of the workers. Steps with missing or non-finite signals are
    skipped.

    Args:
        loss_floor: what the loss is known never to get below; the estimate F* starts there.
    Holds: decisions survive a snapshot, their history is all in `Decision.memory` (at most 70 numbers and T(k)).
    Cost: at a refresh 1 ms at 10 workers, at most 11 ms up to 10,000; 0.03 ms between (one core).
    Source: ours, after Xu, Neglia, Sebastianelli 2020, arXiv:2004.14696. Theirs (`dbw`) is right where one step's
        decrease of the loss can be measured; with small batches it waits for nearly all.
    """

    loss_floor: float = 0.0

    def __post_init__(self) -> None:
        if not abs(self.loss_floor) < inf:
            raise ValueError(f"dynamic needs a finite loss_floor, not {self.loss_floor}")

    def decide(self, evidence: Evidence) -> Decision:
        n = evidence.present
        past = _Past.from_json(evidence.memory, loss_floor=self.loss_floor)
        now = past if past.round == evidence.round else self._absorbed(past, evidence)
        if now.step is None and now.first == evidence.round:
            return now.opening(evidence)
        if now.step is None:
            return now.decided(n, f"all {n} present: no statistics yet, no step was seen")
        if not now.variances:
            return now.decided(n, f"all {n} present: no statistics yet, no variance of the gradients")
        now = _timed(now, evidence)
        if now.times is None or now.step is None:
            return now.decided(n, f"all {n} present: no statistics yet, fewer than half of them were timed")
        progress = Progress(now.step, fmean(now.variances), now.losses.gap)
        choice = most_progress_per_second(progress, now.times)
        return now.decided(choice.k, _why(choice, progress, now.times))

    def _absorbed(self, past: _Past, evidence: Evidence) -> _Past:
        """The past with the step that was closed since."""
        first = evidence.round if past.first is None else past.first
        now = replace(past, first=first, round=evidence.round, times_age=past.times_age + 1)
        step = read_step(evidence.signals)
        if step is None:
            return now
        sample = variance_sample(step, past.step.k if past.step else None)
        variances = past.variances if sample is None else (*past.variances, sample)[-VARIANCES:]
        variance = fmean(variances) if variances else 0.0
        noise_floor = Progress(step, variance, 0.0).noise_floor(step.k)
        return replace(now, step=step, variances=variances, losses=past.losses.after(step.loss, noise_floor))


def _timed(past: _Past, evidence: Evidence) -> _Past:
    """The past with times for those present: refreshed at most once a round, rescaled if more come and go in it."""
    n, times = evidence.present, past.times
    if past.times_age == 0:  # tried in this round already
        return past if times is None or times.n == n else replace(past, times=times.rescaled(n))
    if times is not None and times.n == n and past.times_age < REFRESH_ROUNDS:
        return past
    fresh = round_times(evidence, current=past.wait_for)
    return replace(past, times=fresh, times_age=0)


def _why(choice: Choice, progress: Progress, times: RoundTimes) -> str:
    n, k = times.n, choice.k
    seconds = f"{times.at(k):.3g} s a round against {times.at(n):.3g} s for all"
    noise = f"noise floor {progress.noise_floor(k):.3g}, loss {progress.gap:.3g} above the least"
    if choice.hopeless:
        return f"k = {k} of {n}: most results/s, as noise outweighs progress at every k; {seconds}, {noise}"
    if k == choice.limit < n:
        return f"k = {k} of {n}: beyond it results/s fall; {seconds}, {noise}"
    return f"k = {k} of {n}: most progress/s; {seconds}, {noise}"


@dataclass(frozen=True, slots=True)
class _Past:
    """What a run's earlier rounds taught.

    first, round: the first and the last that was decided. step: the last usable one. variances: samples of V, newest
    last. times: T(k), estimated `times_age` rounds ago. wait_for: what was decided last.
    """

    losses: LossHistory
    first: int | None = None
    round: int | None = None
    step: Step | None = None
    variances: tuple[float, ...] = ()
    times: RoundTimes | None = None
    times_age: int = 0
    wait_for: int = 1

    def opening(self, evidence: Evidence) -> Decision:
        """Of the first round."""
        n, now_s = evidence.present, evidence.now_s
        deadline_s = now_s + max(now_s - evidence.opened_s, 0.0)
        least = min(max(-(-n // 2), 2), n)
        why = f"all {n} present that come in twice the time of the first, {least} at least: no statistics yet"
        return self.decided(n, why)._replace(deadline_s=deadline_s, at_least=least)

    def decided(self, wait_for: int, why: str) -> Decision:
        return Decision(wait_for, why, memory=replace(self, wait_for=wait_for).to_json())

    def to_json(self) -> Json:
        return {
            "first": self.first,
            "round": self.round,
            "step": None if self.step is None else self.step.to_json(),
            "variances": list(self.variances),
            "losses": list(self.losses.losses),
            "since_reset": self.losses.since_reset,
            "floor": self.losses.floor,
            "times": None if self.times is None else self.times.to_json(),
            "times_age": self.times_age,
            "wait_for": self.wait_for,
        }

    @classmethod
    def from_json(cls, memory: Json, *, loss_floor: float) -> _Past:
        if memory is None:
            return cls(LossHistory(floor=loss_floor, least=loss_floor))
        past = cast(Mapping[str, Any], memory)
        losses = LossHistory(tuple(past["losses"]), past["since_reset"], past["floor"], loss_floor)
        return cls(
            losses=losses,
            first=past["first"],
            round=past["round"],
            step=None if past["step"] is None else Step.from_json(past["step"]),
            variances=tuple(past["variances"]),
            times=None if past["times"] is None else RoundTimes.from_json(past["times"]),
            times_age=past["times_age"],
            wait_for=past["wait_for"],
        )
