"""The metrics of an entry, as MLflow stores them. Pure, with times from the journal: sent twice, stored once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.attendance import quantiles
from orchestrator.outcome import FEW_WORKERS
from orchestrator.tracking.entries import Entry, Span, WorkerSpan
from orchestrator.tracking.names import accepted

ALL = "all"


class Point(NamedTuple):
    """One value of one metric; a NaN stays one, MLflow turns an infinity into the largest float."""

    key: str
    value: float
    timestamp_ms: int
    step: int


def points(entry: Entry, started_ms: int) -> Iterator[Point]:
    """The figures of its rows under their own names, those of the rounds that it closed, and of the span that it ended.

    started_ms: Unix time at which the run's clock was 0.
    """
    timestamp_ms = started_ms + round(entry.now_s * 1000)
    for row in entry.rows:
        for name, value in row.metrics.items():
            yield Point(accepted(name), float(value), timestamp_ms, row.step)
    for name, value, step in _round_figures(entry):
        yield Point(name, value, timestamp_ms, step)
    if entry.span is not None:
        for name, value in _span_figures(entry.span):
            yield Point(accepted(name), value, timestamp_ms, entry.span.step)


def _round_figures(entry: Entry) -> Iterator[tuple[str, float, int]]:
    """(name, value, step) of the closed rounds.

    wasted_share: results that were of no use to anybody, because they came too late or failed, of all that came.
    """
    samples = {row.step: row.metrics["samples"] for row in entry.rows if "samples" in row.metrics}
    for closed in entry.closed:
        round_s = closed.closed_s - closed.opened_s
        yield "round_s", round_s, closed.round
        yield "eligible", float(closed.eligible), closed.round
        yield "present", float(closed.present), closed.round
        yield "arrived", float(closed.arrived), closed.round
        if closed.round in samples and round_s > 0:
            yield "samples_per_s", samples[closed.round] / round_s, closed.round
    if entry.results:
        yield "wasted_share", max(0.0, 1 - entry.useful / entry.results), entry.closed[-1].round


def _span_figures(span: Span) -> Iterator[tuple[str, float]]:
    """Of all workers together, and of each where there are few."""
    everyone = [trip_s for worker in span.workers for trip_s in worker.round_trips_s]
    all_workers = WorkerSpan(ALL, everyone, sum(worker.late for worker in span.workers))
    few = span.workers if len(span.workers) <= FEW_WORKERS else ()
    for worker in (all_workers, *few) if everyone else ():
        for name, value in zip(("p50_s", "p90_s", "p99_s"), quantiles(worker.round_trips_s), strict=True):
            yield f"round_trip_{name}/{worker.worker}", value
        yield f"late_share/{worker.worker}", worker.late / len(worker.round_trips_s)
    for cause, count in span.failures.items():
        yield f"failures/{cause.replace(' ', '_')}", float(count)
