"""`ripieno show RUN --why`: how many results each round waited for, and why."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.live.jsonl import decided
from orchestrator.records import Closed, Decided

HEADER = f"{'rounds':>13}  {'eligible':>8}  {'present':>7}  {'arrived':>7}  {'waits for':>9}  {'a round':>9}  why"


@dataclass(slots=True)
class Span:
    """Rounds in a row that decided alike. arrived: of the newest. rounds: that closed, in took_s altogether."""

    first: int
    last: int
    decided: Decided
    arrived: int
    rounds: int = 0
    took_s: float = 0.0


def spans(records: Iterable[Decided | Closed], *, every: bool = False) -> Iterator[Span]:
    """One span for as long as the decision and the three sets stay the same; every: one a round."""
    span: Span | None = None
    latest: Decided | None = None
    for record in records:
        if isinstance(record, Decided):
            latest = record
            continue
        if latest is None:
            continue
        if span is None or every or not _alike(span.decided, latest):
            if span is not None:
                yield span
            span = Span(record.round, record.round, latest, record.arrived)
        span.last, span.arrived = record.round, record.arrived
        span.rounds += 1
        span.took_s += record.closed_s - record.opened_s
    if span is not None:
        yield span


def line(span: Span) -> str:
    """A span as one line below `HEADER`."""
    decided = span.decided
    rounds = f"{span.first}" if span.first == span.last else f"{span.first}-{span.last}"
    return (
        f"{rounds:>13}  {decided.eligible:>8}  {decided.present:>7}  {span.arrived:>7}  "
        f"{decided.decision.wait_for:>9}  {span.took_s / span.rounds:>7.3f} s  {decided.decision.why}"
    )


def as_json(span: Span) -> str:
    """A span as a JSON object."""
    mean_s = span.took_s / span.rounds
    return json.dumps(
        {"first": span.first, "last": span.last, "round_s": mean_s, **decided(span.decided), "arrived": span.arrived}
    )


def _alike(one: Decided, other: Decided) -> bool:
    return (one.eligible, one.present, one.decision.wait_for) == (
        other.eligible,
        other.present,
        other.decision.wait_for,
    )
