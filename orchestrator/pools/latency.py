"""How long a virtual worker takes: pure functions of (worker, work, attempt, now), seeded, without state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from statistics import NormalDist

MASK = (1 << 64) - 1
LEAST = 2.0**-54
NORMAL = NormalDist()


def chance(seed: int, *keys: int) -> float:
    """A number in [0, 1) that looks random and depends on nothing but its arguments (splitmix64)."""
    x = seed & MASK
    for key in keys:
        x = (x + 0x9E3779B97F4A7C15 + key) & MASK
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
        x ^= x >> 31
    return (x >> 11) * 2.0**-53


@dataclass(frozen=True, slots=True)
class Constant:
    """Always mean_s seconds, > 0."""

    mean_s: float = 1.0

    def seconds(self, uniform: float) -> float:
        return self.mean_s


@dataclass(frozen=True, slots=True)
class ShiftedExponential:
    """mean_s·((1 - spread) + spread·Exp(1)); spread in [0, 1]: 0 is constant, 1 exponential."""

    spread: float = 0.7
    mean_s: float = 1.0

    def seconds(self, uniform: float) -> float:
        return self.mean_s * (1 - self.spread - self.spread * log(1 - uniform))


@dataclass(frozen=True, slots=True)
class Pareto:
    """Heavy-tailed: P(T > t) = (t_min/t)^shape, scaled to mean mean_s; shape > 1."""

    shape: float = 1.5
    mean_s: float = 1.0

    def seconds(self, uniform: float) -> float:
        return self.mean_s * (self.shape - 1) / self.shape * exp(-log(1 - uniform) / self.shape)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Between low_s and high_s, 0 < low_s <= high_s."""

    low_s: float
    high_s: float

    def seconds(self, uniform: float) -> float:
        return self.low_s + (self.high_s - self.low_s) * uniform


@dataclass(frozen=True, slots=True)
class LogNormal:
    """exp(σ·normal), scaled to mean mean_s; sigma >= 0."""

    sigma: float = 0.5
    mean_s: float = 1.0

    def seconds(self, uniform: float) -> float:
        normal = NORMAL.inv_cdf(max(uniform, LEAST))
        return self.mean_s * exp(self.sigma * normal - self.sigma**2 / 2)


@dataclass(frozen=True, slots=True)
class Trace:
    """Drawn from recorded durations, in seconds, each as likely as any other; not empty."""

    recorded_s: Sequence[float]

    def seconds(self, uniform: float) -> float:
        return self.recorded_s[int(uniform * len(self.recorded_s))]


Model = Constant | ShiftedExponential | Pareto | Uniform | LogNormal | Trace


@dataclass(frozen=True, slots=True)
class Change:
    """From at_s on, the workers with these numbers take `factor` times as long; the latest change counts."""

    at_s: float
    workers: frozenset[int]
    factor: float


@dataclass(frozen=True, slots=True)
class Latency:
    """The time one attempt takes, by worker number.

    model: of all workers that have none of their own. factors: how many times slower a worker is. changes: in order of
    time. by_kind: kinds of work with a time of their own, whatever the worker (the aggregator's, say).
    """

    model: Model = field(default_factory=Constant)
    by_worker: Mapping[int, Model] = field(default_factory=dict)
    factors: Mapping[int, float] = field(default_factory=dict)
    changes: Sequence[Change] = ()
    by_kind: Mapping[str, Model] = field(default_factory=dict)

    def seconds(self, kind: str, worker: int, now_s: float, uniform: float) -> float:
        """uniform: in [0, 1), the only chance in it."""
        if kind in self.by_kind:
            return self.by_kind[kind].seconds(uniform)
        factor = self.factors.get(worker, 1.0)
        for change in self.changes:
            if now_s >= change.at_s and worker in change.workers:
                factor = change.factor
        return self.by_worker.get(worker, self.model).seconds(uniform) * factor
