"""Figures and names as people read and write them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from difflib import get_close_matches


def duration(seconds: float) -> str:
    """4.2 s, 0:02:05, or 3 days, 0:02:05."""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def seconds(value: float) -> str:
    """4.7 ms, 120 ms, 1.25 s or 42.1 s: as precise as one can read."""
    if value < 1:
        return f"{value * 1e3:.{1 if value < 0.01 else 0}f} ms"
    return f"{value:.2f} s" if value < 10 else duration(value)


def amount(number: float) -> str:
    """3, or 0.81: whole where it is whole."""
    return f"{number:,.0f}" if number == int(number) else f"{number:.2f}"


def metric(name: str, value: float) -> str:
    """A metric and its value: "test accuracy 0.914"."""
    return f"{name.replace('_', ' ')} {value:.4g}"


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """ "; did you mean 'dynamic'?" for the nearest candidate, or "" when none is near."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    near = get_close_matches(word.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""
