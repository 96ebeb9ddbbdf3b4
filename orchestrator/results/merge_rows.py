"""The sources and candidates of a merge as rows of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class MergeRow:
    """kind: "source" or "candidate". members: numbers of sources. best: of its kind. value: what it was chosen by.

    figures: every metric that it has, by split_name.
    """

    kind: str
    label: str
    recipe: str
    options: Mapping[str, Any]
    members: Sequence[int]
    best: bool
    value: float
    figures: Mapping[str, float]
    note: str


def write_table(rows: Sequence[MergeRow], file: Path) -> None:
    """An Arrow file (IPC): a row each; options as JSON, and a column for every metric, null where it was not taken."""
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    columns: dict[str, Any] = {
        "kind": pa.array([row.kind for row in rows], pa.string()),
        "label": pa.array([row.label for row in rows], pa.string()),
        "recipe": pa.array([row.recipe for row in rows], pa.string()),
        "options": pa.array([json.dumps(row.options) for row in rows], pa.string()),
        "members": pa.array([list(row.members) for row in rows], pa.list_(pa.int64())),
        "best": pa.array([row.best for row in rows], pa.bool_()),
        "value": pa.array([row.value for row in rows], pa.float64()),
        **{name: pa.array([row.figures.get(name) for row in rows], pa.float64()) for name in names},
        "note": pa.array([row.note for row in rows], pa.string()),
    }
    table = pa.table(columns)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
