"""How the learning rate follows k, the number of gradients in a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, log
from statistics import fmean


def exponent(rule: str, knees: Mapping[int, float]) -> float:
    """p of η(k) = η·(k/n)^p: 0 constant, 1 proportional, and for "knee" the slope of ln η over ln k, in [0, 1].

    knees: by k, the largest learning rate that training with k gradients a step stands; of less than two k p is 0.
    """
    if rule != "knee":
        return float(rule == "proportional")
    points = [(log(k), log(knee)) for k, knee in knees.items()]
    if len(points) < 2:
        return 0.0
    middle_k, middle = fmean(x for x, _ in points), fmean(y for _, y in points)
    slope = sum((x - middle_k) * (y - middle) for x, y in points) / sum((x - middle_k) ** 2 for x, _ in points)
    return min(max(slope, 0.0), 1.0)


def tested(workers: int) -> Sequence[int]:
    """The k to test of so many workers: one, a quarter, half and all of them."""
    return sorted({1, ceil(workers / 4), ceil(workers / 2), workers})


def factor(k: int, workers: int, p: float) -> float:
    """(k/n)^p."""
    return float((k / workers) ** p)
