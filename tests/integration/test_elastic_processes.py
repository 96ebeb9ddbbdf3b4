"""Whole runs on worker processes of which some are late, die or hang: their bits are those of a replay."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from cluster.launchers import LocalProcesses
from cluster.shared_memory import SharedFolder
from orchestrator.journal.records import Started
from orchestrator.lifecycle import start
from orchestrator.outcome import Outcome
from orchestrator.protocols import Pool
from orchestrator.records import Actions, Cause, Counts, Left, Wake
from orchestrator.spec import Spec
from orchestrator.verify import replay
from orchestrator.workers import open_pool_of
from tests.support.runs import digits_spec


class Watched:
    """A run on processes of this machine, with what became of its workers."""

    def __init__(self, paced: Path | None = None) -> None:
        """paced: a file to be removed once three workers were used, one of which is then killed."""
        self.processes, self.paced = LocalProcesses(), paced
        self.went: list[Left] = []
        self.used: set[str] = set()

    def open_pool(self, started: Started, spec: Spec, values: SharedFolder) -> Pool:
        return open_pool_of(started, spec, values, self.processes)

    def seen(self, wake: Wake, actions: Actions) -> None:
        self.went += [event for event in wake.events if isinstance(event, Left)]
        self.used.update(told.result.worker for told in actions.told if told.work.counts is Counts.QUORUM)
        if self.paced is not None and len(self.used) == 3:
            os.kill(self.processes.pids()["worker-0"], signal.SIGKILL)
            self.paced.unlink()
            self.paced = None

    def run(self, spec: Spec) -> Outcome:
        outcome = start(spec, open_pool=self.open_pool, observers=[self])
        assert outcome.outcome == "done", outcome.reason
        again = replay(outcome.folder)
        assert again.same
        assert again.weights_sha256 == outcome.weights_sha256 != ""
        return outcome


def with_task(spec: Spec, task: str, **times: Any) -> Spec:
    changed = {**spec.model_dump(mode="json"), "task": f"tests.support.digits_task:{task}", "times": times}
    return Spec.model_validate(changed)


def test_a_run_begins_with_its_least_workers_and_uses_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paced = tmp_path / "paced"
    paced.touch()
    monkeypatch.setenv("PACED_WHILE", str(paced))
    watched = Watched(paced)
    spec = digits_spec(tmp_path, workers={"min": 1, "max": 3}, epochs=20, evaluate_every={"epochs": 20})
    watched.run(with_task(spec, "PacedDigits"))
    assert watched.used == {"worker-0", "worker-1", "worker-2"}
    assert [left.worker for left in watched.went] == ["worker-0"]


def test_a_worker_that_hangs_in_user_code_is_ended_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = tmp_path / "hang"
    hang.touch()
    monkeypatch.setenv("HANG_ONCE", str(hang))
    watched = Watched()
    watched.run(with_task(digits_spec(tmp_path, workers=2, epochs=4), "HangingDigits", hard_deadline_s=10.0))
    assert {left.cause for left in watched.went} == {Cause.TIMEOUT}
    assert not hang.exists()
