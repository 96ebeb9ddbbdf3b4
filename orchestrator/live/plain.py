"""The live view of a log file: one frame as one line."""

from __future__ import annotations

from orchestrator.live.figures import Frame
from orchestrator.words import amount, duration, metric


def line(frame: Frame) -> str:
    """The same figures as in a terminal, the most wanted first."""
    if frame.waiting:
        return f"{duration(frame.elapsed_s)} waiting: {frame.waiting}"
    if frame.wait_for is None:
        return f"{duration(frame.elapsed_s)} starting, {frame.present} workers are there"
    known = {} if frame.loss is None else {"loss": frame.loss}
    parts = [
        f"{duration(frame.elapsed_s)} {amount(frame.done)} of {frame.total:g} {frame.unit}",
        *(metric(*item) for item in (known | dict(frame.evaluations)).items()),
        f"waits for {frame.wait_for} of {frame.present}",
        f"{frame.samples_per_s:,.0f} samples/s",
        f"{frame.rounds_per_s:,.1f} rounds/s",
        f"{frame.unused:.0%} of results unused",
    ]
    if frame.left_s is not None:
        parts.append(f"{duration(frame.left_s)} left")
    return " · ".join(parts)
