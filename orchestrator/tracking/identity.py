"""Which run in MLflow a run of ours is, kept in its folder."""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.journal.durable import write_durably
from orchestrator.uris import printable

FILE = "mlflow.json"


class ParentMissing(Exception):
    """MLflow has not got the run yet that another is to be nested in."""

    def __init__(self, parent: str) -> None:
        super().__init__(parent)
        self.parent = parent

    def __str__(self) -> str:
        return (
            f"its parent run is not there yet; what is missing of that is sent with: ripieno track sync {self.parent}"
        )


def load_identity(folder: Path, uri: str) -> str:
    """The id of its run at this tracking URI; "" if there is none yet."""
    try:
        kept = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return ""
    return str(kept["run_id"]) if kept.get("uri") == printable(uri) else ""


def save_identity(folder: Path, uri: str, run_id: str) -> None:
    write_durably(folder / FILE, [json.dumps({"uri": printable(uri), "run_id": run_id}).encode()])
