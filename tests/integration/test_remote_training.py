"""The entry of training workers, with a task that cannot be loaded: the run must hear why, not lose workers."""

from __future__ import annotations

from pathlib import Path

from cluster.launchers import LocalProcesses, Member
from orchestrator.records import Cause, Place
from orchestrator.worker import ENTRY, Training, WorkerSettings
from tests.contract.test_pools import History, work
from tests.support.remote import OwnedPool


def test_a_task_that_raises_on_import_is_told_as_the_failure_of_each_work(tmp_path: Path) -> None:
    (tmp_path / "broken_task.py").write_text("import torch\nWIDTH = {}['width']\n")
    pool = OwnedPool(tmp_path / "shared")
    training = Training("broken_task:Task", seed=0, folders=(str(tmp_path),))
    settings = WorkerSettings(pool.door, "worker-0", training=training)
    pool.launch(LocalProcesses(), [Member("worker-0", ENTRY, settings.to_json())])
    history = History(pool)
    try:
        for number in range(2):
            history.give(work(number)._replace(place=Place("worker-0")))
        history.until(lambda: len(history.results) == 2)
    finally:
        pool.close()
    for result in history.results:
        assert result.failure is not None
        assert (result.failure.cause, result.failure.message) == (Cause.USER_ERROR, "KeyError: 'width'")
        assert 'broken_task.py", line 2' in result.failure.traceback
