"""The live view of a log file: one frame as one line."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.live.figures import Frame
from orchestrator.words import amount, duration, metric

OVER = "what it leaves is written and recorded"


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
        *([OVER] if frame.over else _speed(frame)),
    ]
    return " · ".join(parts)


def rates(frame: Frame) -> Iterator[str]:
    """How fast it goes; of verbs whose steps are long only what says something."""
    if frame.samples_per_s >= 1:
        yield f"{frame.samples_per_s:,.0f} samples/s"
    if frame.rounds_per_s >= 1:
        yield f"{frame.rounds_per_s:,.1f} rounds/s"
    yield f"{frame.unused:.0%} of results unused"


def _speed(frame: Frame) -> Iterator[str]:
    if frame.present > 1:
        yield f"waits for {frame.wait_for} of {frame.present}"
    yield from rates(frame)
    if frame.left_s is not None:
        yield f"{duration(frame.left_s)} left"
