"""Which k to evaluate when n is too large for all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEPS = 4
STEP_RATIO = 1.25


def candidates(n: int, *, current: int, levels: NDArray[np.float64], limit: int) -> tuple[int, ...]:
    """At most `limit` >= 12 values of k, rising, 1 <= k <= n, n among them.

    They are the current k and its neighbours an eighth away, so that the choice can creep; the largest k before each of
    the four highest steps of `levels`, where a slower class of workers begins; the rest of them on a quadratic grid,
    fine where k is small.

    Args:
        levels: shape [m], m <= n, >= 0: what each worker (or a stratified sample of them) usually takes; sorted here.
    Holds: a step at rank j of m gives the k with ⌈k·m/n⌉ = j, the last that does without the slower class.
    Cost: O(m log m).
    """
    if n <= limit:
        return tuple(range(1, n + 1))
    current = min(max(current, 1), n)
    chosen = {n, current, max(current - max(current // 8, 1), 1), min(current + max(current // 8, 1), n)}
    levels = np.sort(levels)
    least = max(float(levels[-1]) * 1e-9, float(np.finfo(np.float64).tiny))
    ratios = levels[1:] / np.maximum(levels[:-1], least)
    highest = np.argsort(-ratios, kind="stable")[:STEPS]
    chosen |= {max(int(rank + 1) * n // len(levels), 1) for rank in highest if ratios[rank] > STEP_RATIO}
    points = limit - len(chosen)
    chosen |= {max(round(n * (j / (points + 1)) ** 2), 1) for j in range(1, points + 1)}
    return tuple(sorted(chosen))
