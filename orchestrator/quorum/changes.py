"""Since when a worker takes as long as it does now: old round trips mislead once it became slower or faster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Z = 4.5
"""How many standard deviations a change must be; see `since_changes`."""

LEAST_BEFORE = 3
LEAST_DEVIATION = 0.1
PASSES = 3
PRIOR = 5.0
NEGLIGIBLE = 1e-9


def since_changes(durations_s: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
    """How many of each worker's newest durations belong together, shape [workers].

    Of all ways to cut a worker's logarithms of durations in two, with three at least in the older part, the one with
    the largest z = |difference of means|·√(j(N - j)/N)/σ is a change if z > 4.5; what is newer is looked at again,
    three times in all. σ comes from differences of successive durations, which one step among them hardly moves, mixed
    with those of all workers as if there were five more; at least 0.1, for a tenth more or less is no change. So a
    single duration is enough where durations vary little, and several are needed where they do.

    Args:
        durations_s: of each worker, oldest first, >= 0; any may be empty.
    Holds: 1 <= count where there are any. Other units of time change nothing.
    Cost: O(workers · longest): 0.2 ms for 16 workers with 40 each, 2 ms for 256.
    Source: ours; binary segmentation (Scott and Knott 1974), with von Neumann's estimate of σ.
    """
    count = np.array([len(own) for own in durations_s], dtype=np.int64)
    longest = max((float(own.max()) for own in durations_s if len(own)), default=0.0)
    if longest <= 0 or count.max() <= LEAST_BEFORE:
        return count
    width = int(count.max())
    logs = np.zeros((len(count), width))  # newest first
    for row, own in zip(logs, durations_s, strict=True):
        row[: len(own)] = np.log(np.maximum(own[::-1] / longest, NEGLIGIBLE))
    deviation = _deviation(logs, count)
    sums = np.cumsum(logs, axis=1)
    newer = np.arange(1, width + 1)
    for _ in range(PASSES):
        n = count[:, None]
        older = n - newer
        total = np.take_along_axis(sums, np.maximum(n - 1, 0), axis=1)
        possible = older >= LEAST_BEFORE
        difference = sums / newer - (total - sums) / np.where(possible, older, 1)
        z = np.where(possible, np.abs(difference) * np.sqrt(newer * np.where(possible, older, 0) / np.maximum(n, 1)), 0)
        best = z.argmax(axis=1)
        changed = z[np.arange(len(z)), best] > Z * deviation
        if not changed.any():
            break
        count = np.where(changed, best + 1, count)
    return count


def _deviation(logs: NDArray[np.float64], count: NDArray[np.int64]) -> NDArray[np.float64]:
    """σ of each worker."""
    pairs = np.arange(1, logs.shape[1]) < count[:, None]
    squares = np.where(pairs, np.diff(logs, axis=1) ** 2 / 2, 0.0).sum(axis=1)
    number = pairs.sum(axis=1)
    everybody = squares.sum() / max(number.sum(), 1)
    variance: NDArray[np.float64] = (squares + PRIOR * everybody) / (number + PRIOR)
    return np.maximum(np.sqrt(variance), LEAST_DEVIATION)
