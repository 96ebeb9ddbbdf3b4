"""T(h, k) from arrival times alone: a least-squares table that is monotone in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.quorum.candidates import candidates
from orchestrator.quorum.round_times import RoundTimes
from orchestrator.records import Arrivals, Json

SIDE = 24
LEAST_ROUNDS = 8
SWEEPS = 120
UNSEEN_WEIGHT = 1e-3


@dataclass(frozen=True, slots=True)
class OrderTable:
    """Seconds from a round's opening until its k-th arrival, given that the round before waited for h.

    ks: the values that h and k take, rising, the last is n. seconds: shape [h, k], not falling along k, not rising
    along h: who waited for more last time has fewer busy workers now. by_rank: the mean over all h, to be remembered.
    """

    ks: tuple[int, ...]
    seconds: NDArray[np.float64]
    by_rank: Mapping[int, float]

    def after(self, waited_for: int) -> RoundTimes:
        """T(h, ·) with h = `waited_for`, or the next estimated one above."""
        row = min(int(np.searchsorted(self.ks, waited_for)), len(self.ks) - 1)
        return RoundTimes.rising(self.ks, self.seconds[row])

    def memory(self) -> Json:
        """`by_rank` as JSON; `remembered` reads it."""
        return {"ks": list(self.by_rank), "seconds": list(self.by_rank.values())}

    def steady(self) -> RoundTimes:
        """T(k, k): what a round takes when every round waits for k."""
        return RoundTimes.rising(self.ks, np.diagonal(self.seconds))


def order_table(
    arrivals: Sequence[Arrivals], n: int, *, current: int, by_rank: Mapping[int, float]
) -> OrderTable | None:
    """Fit the table to the last rounds of n workers; None when there were none and nothing is remembered.

    A cell's value is the mean of its samples, its weight their number. A cell without any takes the mean of its k over
    all h at weight 0.001; where no round saw a k-th arrival, what is remembered of it, else what lies between or next
    to the known ones, so that an untried k looks good and is tried once. The table is the weighted least-squares one
    among those with T(h,k) <= T(h,k+1) and T(h,k) >= T(h+1,k), by at most 120 sweeps of Dykstra's projections: plain
    alternation would end in another feasible point. Running maxima remove what the last projection leaves.

    Args:
        arrivals: closed rounds, late arrivals among them or the large k look too short. A round that did not wait for
            all has fewer than n: who is busy until its end never starts on it.
        current: the present k, an estimated one above 24 workers, where the table has 24 values a side.
        by_rank: seconds until the k-th arrival that are remembered of an earlier table.
    Cost: 1 ms at n = 8, 4 ms at n = 16, 10 ms from n = 24 on; up to four times that for a table on which they converge
        slowly: few of arrivals do, and some of the weights 1 and 50 side by side.
    Source: Xu, Neglia, Sebastianelli 2020, arXiv:2004.14696, the estimator with its two monotonicities; Dykstra 1983.
        The weight of empty cells, the memory of ranks and the grid above 24 are ours.
    """
    recent = arrivals[-max(LEAST_ROUNDS, 50 * 256 // n) :]
    rounds = [(n if h < 1 else min(h, n), _usable(offsets)[:n]) for h, offsets in recent]
    mean, seen = np.zeros(n), np.zeros(n)
    for _, offsets in rounds:
        mean[: len(offsets)] += offsets
        seen[: len(offsets)] += 1
    known = {k: seconds for k, seconds in by_rank.items() if k <= n and seen[k - 1] == 0}
    known |= {int(at) + 1: float(mean[at] / seen[at]) for at in np.flatnonzero(seen)}
    if not known:
        return None
    ranks = sorted(known)
    every_rank = np.interp(np.arange(1, n + 1), ranks, [known[k] for k in ranks])

    ks = candidates(n, current=current, levels=every_rank, limit=SIDE)
    total, count = np.zeros((len(ks), len(ks))), np.zeros((len(ks), len(ks)))
    columns = np.asarray(ks)
    for h, offsets in rounds:
        row, width = int(np.searchsorted(columns, h)), int(np.searchsorted(columns, len(offsets), side="right"))
        total[row, :width] += offsets[columns[:width] - 1]
        count[row, :width] += 1
    value = np.where(count > 0, total / np.maximum(count, 1), every_rank[columns - 1])
    return OrderTable(
        ks,
        seconds=monotone(value, np.where(count > 0, count, UNSEEN_WEIGHT)),
        by_rank={k: float(every_rank[k - 1]) for k in ks},
    )


def remembered(memory: Any) -> Mapping[int, float]:
    """What `OrderTable.memory` returned, or nothing of None."""
    return {} if memory is None else dict(zip(memory["ks"], memory["seconds"], strict=True))


def _usable(offsets: Sequence[float]) -> NDArray[np.float64]:
    """The offsets that are finite and not below zero, in order."""
    array = np.sort(np.asarray(offsets, dtype=np.float64))
    return array[(array >= 0) & (array < np.inf)]


def monotone(value: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weighted least-squares table, shape [h, k], not falling along k and not rising along h; weights > 0."""
    along_k, along_h = _isotonic(weight), _isotonic(weight.T[:, ::-1])
    table, correction_k, correction_h = value, np.zeros_like(value), np.zeros_like(value)
    close = 1e-6 * float(np.abs(value).max())
    for _ in range(SWEEPS):
        before = table
        rising = along_k(table + correction_k)
        correction_k += table - rising
        table = along_h((rising + correction_h).T[:, ::-1])[:, ::-1].T
        correction_h += rising - table
        if np.abs(table - rising).max() <= close and np.abs(table - before).max() <= close:
            break
    table = np.maximum.accumulate(table, axis=1)
    return np.maximum.accumulate(table[::-1], axis=0)[::-1]


@dataclass(frozen=True, slots=True)
class _Isotonic:
    """Weighted isotonic regression of every row at once, for fixed weights; call it with values, shape [rows, m].

    By the min-max formula y[i] = max over j <= i of min over l >= i of the weighted mean of j..l: O(rows·m³), but in
    NumPy faster than pooling adjacent violators in a loop for m <= 24.
    """

    weight: NDArray[np.float64]
    inverse: NDArray[np.float64]

    def __call__(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        rows, m = value.shape
        sums = np.zeros((rows, m + 1))
        np.cumsum(value * self.weight, axis=1, out=sums[:, 1:])
        means = (sums[:, None, 1:] - sums[:, :-1, None]) * self.inverse  # (rows, j, l)
        least = np.minimum.accumulate(means[:, :, ::-1], axis=2)[:, :, ::-1]
        return np.maximum.accumulate(least, axis=1)[:, np.arange(m), np.arange(m)]


def _isotonic(weight: NDArray[np.float64]) -> _Isotonic:
    rows, m = weight.shape
    sums = np.zeros((rows, m + 1))
    np.cumsum(weight, axis=1, out=sums[:, 1:])
    spans = sums[:, None, 1:] - sums[:, :-1, None]
    upper = np.triu(np.ones((m, m), dtype=bool))  # below it j > l: never read, must only not divide by zero
    return _Isotonic(weight, 1 / np.where(upper, spans, 1.0))
