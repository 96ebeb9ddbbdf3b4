"""Figures as people read them."""

from __future__ import annotations

from datetime import timedelta


def duration(seconds: float) -> str:
    """4.2 s, 0:02:05, or 3 days, 0:02:05."""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def metric(name: str, value: float) -> str:
    """A metric and its value: "test accuracy 0.914"."""
    return f"{name.replace('_', ' ')} {value:.4g}"
