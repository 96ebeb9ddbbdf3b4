"""T(k) from each worker's own round trips: rounds are played forward with times drawn from what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.quorum.candidates import candidates
from orchestrator.quorum.changes import since_changes
from orchestrator.quorum.round_times import RoundTimes
from orchestrator.records import Evidence, RoundTrip

EVERY_K_UP_TO = 64
GRID = 16
SAMPLE = 256
ROUNDS, WARM_UP_ROUNDS = 8, 4
REPLICAS, REPLICAS_OF_MANY = 48, 32

INTERRUPTED = 0.02
"""Above this share of round trips without an end, work is being interrupted; failures are rarer."""


@dataclass(frozen=True, slots=True)
class Workers:
    """What m workers, all of them or a sample, were seen to take.

    trips_s: all usable round trips, worker by worker. open: which of them had no end, so that they are lower bounds.
    first, count: shape [m]; worker i's are trips_s[first[i] : first[i] + count[i]]; one that was never timed has
    everybody's. at_least_s: shape [m]; a worker that is busy for longer than it ever was takes at least this long, any
    other 0.
    """

    trips_s: NDArray[np.float64]
    open: NDArray[np.bool_]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    at_least_s: NDArray[np.float64]

    def mean_s(self) -> NDArray[np.float64]:
        """Mean round trip of each worker, open ones at their bound."""
        return np.maximum(self._sum(self.trips_s) / self.count, self.at_least_s)

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Round trips, shape [*shape, m], each drawn with replacement from its worker's own.

        An open one goes on for an exponential time, whose mean is the worker's mean excess over the shortest finished
        round trip of all: Σ excess / finished, with one more that finished after the mean excess of all that did. A
        worker that never finishes gets a huge mean, rightly.
        """
        index = self.first + (random.random((*shape, len(self.count))) * self.count).astype(np.int64)
        drawn: NDArray[np.float64] = self.trips_s[index]
        if self.open.any() and not self.open.all():
            excess = np.maximum(self.trips_s - 0.999 * self.trips_s[~self.open].min(), 0.0)
            mean = (self._sum(excess) + excess[~self.open].mean()) / (self._sum(~self.open) + 1)
            drawn = drawn + self.open[index] * random.standard_exponential(drawn.shape) * mean
        return np.maximum(drawn, self.at_least_s)

    def _sum(self, of_trips: NDArray[Any]) -> NDArray[np.float64]:
        """Per worker, shape [m]."""
        sums = np.concatenate(([0.0], np.cumsum(of_trips)))
        totals: NDArray[np.float64] = sums[self.first + self.count] - sums[self.first]
        return totals


def round_times(evidence: Evidence, *, current: int) -> RoundTimes | None:
    """T(k) of the workers present; None while fewer than half of them were ever timed.

    Under push-and-wait every started computation ends, so late results must be among the round trips; then nothing is
    censored. A busy worker out for longer than any of its round trips is drawn no shorter than that: it is noticed
    before it answers. Round trips from before a worker became slower or faster are left out, see `since_changes`.
    Where more than 2 % of them have no end, work is interrupted when its round closes; then all count, and what is open
    is completed by an exponential guess: with exponential tails within 5 % up to k = 3n/4, and T(n) up to 20 % high.

    Args:
        current: the present k, one of those estimated.
    Returns:
        Every k up to 64 workers, above that 16 of them (see `candidates`).
    Holds: seeded by (evidence.seed, evidence.round) alone; multiplying all times by a power of two multiplies T by it.
    Cost: on one core 1 ms at 10 workers, 10 ms at 64, 4 to 11 ms from 100 to 10,000. Above 256 workers a sample is
        played, one from each of 256 strata of the sorted latest round trips, and T_n(k) = T_256(⌈256 k/n⌉): within 15 %
        but for the very slowest, so that T(n) is low by up to 40 % where round trips have exponential tails.
    Source: ours; Xu, Neglia, Sebastianelli 2020 fit T(h, k) to arrivals (see `order_table`), which from a run at one k
        is off by up to 80 % at the others; this is within 8 %.
    """
    n = evidence.present
    random = np.random.default_rng((evidence.seed % 2**64, evidence.round % 2**64))
    workers = _read(evidence, min(n, SAMPLE))
    if workers is None:
        return None
    m = len(workers.count)
    ks = candidates(n, current=current, levels=workers.mean_s(), limit=EVERY_K_UP_TO if n <= EVERY_K_UP_TO else GRID)
    replicas = REPLICAS if n <= EVERY_K_UP_TO else REPLICAS_OF_MANY
    draws = workers.draw(random, (ROUNDS, replicas))
    play = push_and_interrupt if workers.open.mean() > INTERRUPTED else push_and_wait
    return RoundTimes.rising(ks, play(draws, [-(-k * m // n) for k in ks]))


def push_and_wait(draws: NDArray[np.float64], ranks: Sequence[int]) -> NDArray[np.float64]:
    """Mean seconds of a round that waits for the k-th of m workers, for each k of `ranks`, 1 <= k <= m.

    From all idle; a worker still busy when a round opens first ends what it does. The first half of the rounds is left
    out of the mean. All k share the same draws, so that they differ by k and not by luck.

    Args:
        draws: shape [rounds, replicas, m], seconds >= 0.
    Cost: O(rounds · replicas · m) a rank.
    """
    rounds, replicas, m = draws.shape
    seconds = np.zeros(len(ranks))
    busy, finish = np.empty((replicas, m)), np.empty((replicas, m))
    for at, rank in enumerate(ranks):
        busy[:] = 0.0  # how long each worker stays busy with older work after the round opens
        for number in range(rounds):
            np.add(busy, draws[number], out=finish)
            closed = np.partition(finish, rank - 1, axis=1)[:, rank - 1 : rank]  # (replicas, 1)
            if number >= rounds - WARM_UP_ROUNDS:
                seconds[at] += float(closed.mean())
            np.copyto(busy, finish, where=busy < closed)
            busy -= closed
            np.maximum(busy, 0.0, out=busy)
    return seconds / WARM_UP_ROUNDS


def push_and_interrupt(draws: NDArray[np.float64], ranks: Sequence[int]) -> NDArray[np.float64]:
    """The same where all start anew with each round: plain order statistics."""
    by_rank: NDArray[np.float64] = np.sort(draws, axis=2).mean(axis=(0, 1))
    chosen: NDArray[np.float64] = by_rank[np.asarray(ranks) - 1]
    return chosen


def _sampled(round_trips: Mapping[str, Sequence[RoundTrip]], m: int) -> list[str]:
    """Names of the workers to read: all, or of each of m strata of the latest round trips the slowest."""
    names = sorted(round_trips)
    if len(names) <= m:
        return names
    latest = np.fromiter((trips[-1].duration_s if (trips := round_trips[name]) else 0.0 for name in names), np.float64)
    order = np.argsort(latest, kind="stable")
    return [names[order[-(-(stratum + 1) * len(names) // m) - 1]] for stratum in range(m)]


def _read(evidence: Evidence, m: int) -> Workers | None:
    """The round trips of m workers, a sample if there are more, with nameless untimed ones if there are fewer."""
    names = _sampled(evidence.round_trips, m)
    trips: list[RoundTrip] = []
    first, count, at_least = [], [], []
    for name, own in zip(names, _recent([evidence.round_trips[name] for name in names]), strict=True):
        elapsed = evidence.in_flight_s.get(name, 0.0)
        first.append(len(trips))
        count.append(len(own))
        at_least.append(
            elapsed if isfinite(elapsed) and elapsed > max((trip.duration_s for trip in own), default=0) else 0.0
        )
        trips += own
    untimed = m - sum(c > 0 for c in count)
    if 2 * untimed > m:
        return None
    unknown = m - len(names)
    counts = np.array(count + [0] * unknown, dtype=np.int64)
    return Workers(
        trips_s=np.array([trip.duration_s for trip in trips]),
        open=np.array([not trip.finished for trip in trips]),
        first=np.where(counts > 0, np.array(first + [0] * unknown, dtype=np.int64), 0),
        count=np.where(counts > 0, counts, len(trips)),
        at_least_s=np.array(at_least + [0.0] * unknown),
    )


def _recent(round_trips: Sequence[Sequence[RoundTrip]]) -> list[list[RoundTrip]]:
    """Of each worker those that may be drawn: since it last changed, but all where work is interrupted, for then most
    durations are the rounds' and not the workers'."""
    usable = [[trip for trip in own if isfinite(trip.duration_s) and trip.duration_s >= 0] for own in round_trips]
    if sum(not trip.finished for own in usable for trip in own) > INTERRUPTED * sum(map(len, usable)):
        return usable
    counts = since_changes([np.array([trip.duration_s for trip in own]) for own in usable])
    return [own[len(own) - count :] for own, count in zip(usable, counts.tolist(), strict=True)]
