"""A tracker whose writer has trouble with MLflow, as far as the engine can tell: by what becomes of its line."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.tracking import Destination, Final, Tracker
from tests.support.faults import Fault
from tests.support.tracking import started

BEHAVIOUR = {
    Fault.MLFLOW_ABSENT: "exit 1",
    Fault.MLFLOW_HANGING: "exec sleep 600",
    Fault.MLFLOW_FAILING: "exec cat <&$3",
    Fault.MLFLOW_SLOW: 'while sleep 0.01 && [ -n "$(head -c 64 <&$3)" ]; do :; done',
    Fault.MLFLOW_BACK: "sleep 0.05; exec cat <&$3",
}
"""By fault, what the writer does with its line, as a shell's command; $3: its descriptor."""


@contextmanager
def tracked_by(faults: Collection[Fault], folder: Path) -> Iterator[Sequence[Tracker]]:
    """A tracker for each fault. On leaving it must have said what is missing, and its process be gone."""
    trackers = [_tracker(BEHAVIOUR[fault], folder) for fault in faults]
    yield trackers
    for tracker in trackers:
        report = tracker.finish(Final("done"), timeout_s=0.02)
        assert not report.complete
        assert "ripieno track sync" in report.message


def _tracker(behaviour: str, folder: Path) -> Tracker:
    stand_in = folder / "python"
    stand_in.write_text(f"#!/bin/sh\n{behaviour}\n")
    stand_in.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(stand_in))
        return Tracker.start(started(), folder, Destination("http://127.0.0.1:1", "chaos"))
