"""The trials of a search as rows of a table, whatever strategy they come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestrator.records import Json
from orchestrator.searching.space import Config


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial.

    rank: among the best, from 1; None: its weights are not kept. value: of the metric, the one that ranks it; None: it
    never had one. points: (epochs, value), in the order of training. epochs, seconds: of training.
    """

    trial: int
    rank: int | None
    status: str
    value: float | None
    epochs: float
    seconds: float
    worker: str
    began_s: float
    ended_s: float
    config: Config
    points: Sequence[tuple[float, float]]


def write_table(rows: Sequence[TrialRow], file: Path) -> None:
    """An Arrow file (IPC): a row a trial; the columns `config.<name>` are null where a trial has no such parameter.

    A parameter whose values are not all numbers, all texts or all truths is written as JSON text.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.config))
    plain = {
        "trial": pa.array([row.trial for row in rows], pa.int64()),
        "rank": pa.array([row.rank for row in rows], pa.int64()),
        "status": pa.array([row.status for row in rows], pa.string()),
        "value": pa.array([row.value for row in rows], pa.float64()),
        "epochs": pa.array([row.epochs for row in rows], pa.float64()),
        "seconds": pa.array([row.seconds for row in rows], pa.float64()),
        "worker": pa.array([row.worker for row in rows], pa.string()),
        "began_s": pa.array([row.began_s for row in rows], pa.float64()),
        "ended_s": pa.array([row.ended_s for row in rows], pa.float64()),
    }
    points = pa.list_(pa.struct([("epochs", pa.float64()), ("value", pa.float64())]))
    columns: dict[str, Any] = {
        **plain,
        **{f"config.{name}": _column([row.config.get(name) for row in rows]) for name in names},
        "points": pa.array([[{"epochs": e, "value": v} for e, v in row.points] for row in rows], points),
    }
    table = pa.table(columns)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _column(values: Sequence[Json]) -> Any:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else json_text(value) for value in values], pa.string())


def json_text(value: Json) -> str:
    """A value of a configuration, for people: text without quotes, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
