"""The budgets at which trials are compared: r, r·η, r·η², … up to the whole budget."""

from __future__ import annotations

CLOSE = 1e-9  # relative: what rounding can make of a product of budgets


def rungs(first: float, eta: float, most: float) -> tuple[float, ...]:
    """Budgets in epochs, rising by the factor eta > 1 from min(first, most) > 0; the last is `most` exactly.

    By multiplication and with a guard: in floats log(243) / log(3) is 4.999… and would lose a rung.
    """
    budgets = []
    budget = first
    while budget < most * (1 - CLOSE):
        budgets.append(budget)
        budget = first * eta ** len(budgets)
    return (*budgets, most)


def kept(trials: int, eta: float, rung: int) -> int:
    """How many of `trials` >= 1 are still there at rung 0, 1, …: floor(n·η^-rung), at least one."""
    return max(1, int(trials / eta**rung * (1 + CLOSE)))
