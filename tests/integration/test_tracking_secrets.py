"""What a run must know to reach MLflow and its storage is told to nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from orchestrator import lifecycle
from orchestrator.outcome_file import load_outcome
from orchestrator.plan import plan
from tests.support.runs import digits_spec, inline


def test_a_password_lies_in_the_spec_and_the_journal_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "TRACKER_TIMEOUT_S", 3.0)
    spec = digits_spec(tmp_path, epochs=0.1)
    tracking = spec.tracking.model_copy(update={"enabled": True, "uri": "http://me:secret@127.0.0.1:1"})
    spec = spec.model_copy(update={"tracking": tracking})
    assert plan(spec, None).tracking_uri == "http://127.0.0.1:1"
    with capture_logs() as logs:
        outcome = lifecycle.start(spec, open_pool=inline)
    assert outcome.tracking_uri == "http://127.0.0.1:1"
    assert load_outcome(outcome.folder) == outcome
    assert "http://127.0.0.1:1/api" in str(logs)
    assert "secret" not in str(logs)
    assert "attempt_failed" in (outcome.folder / "tracking.log").read_text()
    telling = {file for file in outcome.folder.rglob("*") if file.is_file() and b"secret" in file.read_bytes()}
    assert telling <= {outcome.folder / "spec.json", *(outcome.folder / "journal").iterdir()}
    assert json.loads((outcome.folder / "spec.json").read_text())["tracking"]["uri"] == "http://me:secret@127.0.0.1:1"
