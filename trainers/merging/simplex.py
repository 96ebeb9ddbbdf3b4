"""The exact minimum of a convex quadratic on the simplex."""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 1e-10
"""Of the conditions of optimality, relative to the largest number of the problem."""


def minimise_on_simplex(gram: Tensor, linear: Tensor) -> Tensor:
    """argmin ½·wᵀGw - cᵀw over w >= 0, Σw = 1: float64 [n].

    Active set: from the best corner on, the members with weight are solved for exactly; one that would fall below 0
    leaves at the boundary, and the one that promises most comes in, until none does.

    Args:
        gram: G, [n, n], symmetric, no negative eigenvalue; may be singular (then some minimum is returned).
        linear: c, [n].
    Holds: with g = Gw - c, gᵢ = μ where wᵢ > 0 and gᵢ >= μ - TOLERANCE elsewhere, relative to the problem's scale.
    Cost: O(n³) a step, about n steps: for the members of an ensemble, milliseconds.
    """
    gram, linear = gram.double(), linear.double()
    scale = max(float(gram.abs().max()), float(linear.abs().max()), torch.finfo(torch.float64).tiny)
    gram, linear = gram / scale, linear / scale
    count = len(linear)
    free = [int((gram.diagonal() / 2 - linear).argmin())]
    weights = torch.zeros(count, dtype=torch.float64)
    weights[free[0]] = 1.0
    for _ in range(20 * count + 20):
        weights = _solve_free(gram, linear, weights, free)
        slopes = gram @ weights - linear
        outside = [index for index in range(count) if index not in free]
        level = float(slopes[free].mean())
        entering = min(outside, key=lambda index: (float(slopes[index]), index), default=None)
        if entering is None or float(slopes[entering]) >= level - TOLERANCE:
            break
        free.append(entering)
    return weights / weights.sum()


def _solve_free(gram: Tensor, linear: Tensor, weights: Tensor, free: list[int]) -> Tensor:
    """The minimum over the members in `free`, walking to it from `weights`; those that reach 0 on the way leave it."""
    while True:
        target = _equality(gram[free][:, free], linear[free])
        if bool((target >= 0).all()):
            return torch.zeros_like(weights).index_put_((torch.tensor(free),), target)
        now = weights[free]
        falling = target < 0
        steps = torch.where(falling, now / (now - target).where(falling, torch.ones(())), torch.inf)
        leaving = int(steps.argmin())
        weights = weights.index_put((torch.tensor(free),), (now + float(steps[leaving]) * (target - now)).clamp_min(0))
        weights[free.pop(leaving)] = 0.0


def _equality(gram: Tensor, linear: Tensor) -> Tensor:
    """argmin ½·wᵀGw - cᵀw over Σw = 1, by its equations; the one of least norm, where members are copies."""
    count = len(linear)
    system = torch.ones(count + 1, count + 1, dtype=torch.float64)
    system[:count, :count] = gram
    system[count, count] = 0.0
    right = torch.cat((linear, torch.ones(1, dtype=torch.float64)))
    solution: Tensor = torch.linalg.lstsq(system, right.unsqueeze(1), driver="gelsd").solution
    return solution[:count, 0]
