"""Whatever goes wrong in a piece of work has a cause, and the user's own traceback begins in the user's code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cluster.shared_memory import SharedMemoryFull
from orchestrator.compute import TOLD, executor, failure_of
from orchestrator.errors import ValueConflict, ValueMissing
from orchestrator.pools.execute import WorkFailed
from orchestrator.records import Cause, Ref, Work
from orchestrator.values.memory import MemoryValues
from trainers import Context, load_task
from trainers.errors import NonFinite, ValueDamaged

TASK = """
import torch
from trainers import Task

class Mine(Task):
    def model(self):
        return helper()

    def data(self, split):
        return torch.utils.data.TensorDataset(torch.zeros(4, 2), torch.zeros(4, dtype=torch.long))

def helper():
    raise KeyError("width")
"""


@pytest.mark.parametrize(
    ("error", "cause", "message"),
    [
        (NonFinite("loss", 2, 7), Cause.NON_FINITE, "the loss of block 7 of epoch 2 is NaN or Inf"),
        (MemoryError(), Cause.OUT_OF_MEMORY, "MemoryError"),
        (torch.OutOfMemoryError("2 GiB"), Cause.OUT_OF_MEMORY, "OutOfMemoryError: 2 GiB"),
        (SharedMemoryFull("/shm", 2, 1), Cause.OUT_OF_MEMORY, "--shm-size"),
        (ValueMissing("1.out", "released"), Cause.BAD_REPLY, "value 1.out is not there"),
        (ValueConflict("1.out"), Cause.BAD_REPLY, "not deterministic"),
        (ValueDamaged("no header"), Cause.BAD_REPLY, "no header"),
        (ZeroDivisionError("division by zero"), Cause.USER_ERROR, "ZeroDivisionError: division by zero"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_exception_has_a_cause(error: Exception, cause: Cause, message: str) -> None:
    failure = failure_of(error)
    assert failure.cause is cause
    assert message in failure.message
    assert bool(failure.traceback) is (cause is Cause.USER_ERROR)


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Work], object]:
    (tmp_path / "users_task.py").write_text(TASK)
    monkeypatch.setattr("sys.path", list(sys.path))
    task = load_task("users_task:Mine", [tmp_path])
    return executor(MemoryValues(), Context(task, seed=0))


def test_a_users_traceback_begins_in_the_users_code(failing: Callable[[Work], object]) -> None:
    with pytest.raises(WorkFailed) as raised:
        failing(Work(0, 0, "init", {}, {"model": {}, "optimizer": {"name": "sgd", "lr": 0.1}}))
    failure = raised.value.failure
    assert (failure.cause, failure.message) == (Cause.USER_ERROR, "KeyError: 'width'")
    first, *_ = [line for line in failure.traceback.splitlines() if line.strip().startswith("File")]
    assert "users_task.py" in first
    assert "in model" in first


def test_a_missing_input_is_no_fault_of_the_user(failing: Callable[[Work], object]) -> None:
    with pytest.raises(WorkFailed) as raised:
        failing(Work(5, 0, "evaluate", {"weights": Ref("4.weights")}, {}))
    assert raised.value.failure.cause is Cause.BAD_REPLY


def test_what_a_user_raises_can_be_sent_whatever_is_in_it() -> None:
    failure = failure_of(ValueError("\udcff" + "x" * 10_000_000))
    assert failure.message.startswith("ValueError: \\udcffxxx")
    assert failure.message.endswith("(10,000,013 characters)")
    assert max(len(failure.message), len(failure.traceback)) < 2 * TOLD
    assert failure.traceback.encode()
