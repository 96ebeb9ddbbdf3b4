"""What MLflow is told about a run once: parameters from its spec, tags from the first record of its journal. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from orchestrator.journal.records import Started
from orchestrator.records import Json
from orchestrator.tracking.names import accepted

VALUE_LENGTH = 5000  # characters; MLflow's own limits are 6,000 (parameters) and 8,000 (tags)
_COMMIT = re.compile(r"\b[0-9a-f]{40}\b")


def parameters(spec: Json) -> dict[str, str]:
    """The spec's values by dotted path (`train.optimizer.lr`), lists as JSON; the whole spec is kept as an artifact."""
    return dict(_flattened("", spec))


def tags(started: Started) -> dict[str, str]:
    """What tells this run from others: its id, spec, seed, code and environment."""
    commit = _COMMIT.search(started.code)
    about = {
        "mlflow.source.name": "ripieno",
        "mlflow.source.type": "LOCAL",
        "ripieno.run": started.run,
        "ripieno.started_at": started.started_at,
        "ripieno.spec_sha256": started.spec_sha256,
        "ripieno.seed": str(started.seed),
        "ripieno.code": started.code,
        "ripieno.dirty": str("dirty" in started.code).lower(),
    }
    if commit:
        about["mlflow.source.git.commit"] = commit.group()
    about.update((f"ripieno.environment.{name}", value) for name, value in _flattened("", started.fingerprint))
    return about


def started_ms(started: Started) -> int:
    """Unix time at which the run's clock was 0."""
    return round(datetime.fromisoformat(started.started_at).timestamp() * 1000)


def _flattened(path: str, value: Json) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and (value or not path):
        for name, inner in value.items():
            yield from _flattened(f"{path}.{name}" if path else name, inner)
    else:
        text = value if isinstance(value, str) else json.dumps(value)
        yield accepted(path or "value"), text[:VALUE_LENGTH]
