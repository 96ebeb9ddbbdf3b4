"""The live view of a program: a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.records import Decided, Row


def line(event: str, fields: Mapping[str, Any]) -> str:
    """One object; `event` says what it is."""
    return json.dumps({"event": event, **fields}, ensure_ascii=False)


def lines(news: Iterable[Row | Decided]) -> Iterator[str]:
    """`recorded` for each row of figures, `decided` for each decision of the quorum."""
    for item in news:
        if isinstance(item, Row):
            yield line("recorded", {"step": item.step, **item.metrics})
        else:
            yield line("decided", decided(item))


def decided(item: Decided) -> dict[str, Any]:
    """A decision with the three sets it was made over."""
    return {
        "round": item.round,
        "eligible": item.eligible,
        "present": item.present,
        "arrived": item.arrived,
        "wait_for": item.decision.wait_for,
        "why": item.decision.why,
    }
