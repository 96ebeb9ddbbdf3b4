"""`make run`'s job, shortened, with real processes killed by real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.errors import JournalDamaged
from orchestrator.folder import RunFolder, shared_memory_of
from orchestrator.journal.reader import JournalReader
from orchestrator.outcome_file import load_outcome
from orchestrator.records import Result, Wake

ROOT = Path(__file__).parents[2]
RUN = "killed"
PATIENCE_S = 180.0  # of each wait in these tests; a healthy run needs a fraction


def ripieno(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator", *arguments]


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process group of its own, which is gone afterwards, whatever happened."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    process = subprocess.Popen(
        ripieno(*arguments),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for member in family(process.pid):
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()


def family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def actors(pid: int) -> list[psutil.Process]:
    """The processes that Ray runs the workers and the aggregator in."""
    found = []
    for member in family(pid):
        with suppress(psutil.NoSuchProcess):
            if member.cmdline() and member.cmdline()[0].startswith("ray::Host"):
                found.append(member)
    return found


def until(true: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    last_s = time.monotonic() + PATIENCE_S
    while not true():
        if process is not None and process.poll() is not None and not true():
            assert process.stdout is not None
            raise AssertionError(f"ended with {process.returncode}:\n{process.stdout.read()}")
        assert time.monotonic() < last_s, f"not within {PATIENCE_S:g} s"
        time.sleep(0.05)


def results(folder: Path) -> int:
    """How many results the journal of a living run holds."""
    with suppress(FileNotFoundError, JournalDamaged):  # it is just being made
        records = JournalReader(folder / "journal", RUN).records()
        return sum(
            isinstance(event, Result) for record in records if isinstance(record, Wake) for event in record.events
        )
    return 0


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def arguments(state: Path) -> list[str]:
    return [
        "run",
        "examples/fashion_mnist/train.yaml",
        "--name",
        RUN,
        "--set",
        "train.epochs=0.1",
        "--set",
        f"state={state}",
    ]


def replayed(state: Path) -> dict[str, Any]:
    """Done again from the journal alone, by the command that a user would take."""
    again = subprocess.run(
        ripieno("replay", RUN, "--state", str(state), "--json"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stdout + again.stderr
    return dict(json.loads(again.stdout))


def require_ended_as_its_replay(state: Path) -> None:
    outcome = load_outcome(state / RUN)
    assert outcome is not None
    assert outcome.outcome == "done"
    again = replayed(state)
    assert again["weights_sha256"] == outcome.weights_sha256 != ""
    assert again["differing"] == []


def test_a_run_completes_though_its_workers_are_killed(state: Path, arguments: list[str]) -> None:
    folder = state / RUN
    with running(*arguments) as process:
        for killed in range(2):
            until(lambda seen=15 + 25 * killed: results(folder) >= seen, process)  # type: ignore[misc]
            actors(process.pid)[killed].kill()
        everybody = family(process.pid)
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, output
        until(lambda: gone(everybody))
    require_ended_as_its_replay(state)
    assert not shared_memory_of(folder).exists()


def test_a_run_whose_driver_is_killed_resumes(state: Path, arguments: list[str]) -> None:
    folder = state / RUN
    with running(*arguments) as process:
        until(lambda: results(folder) >= 30, process)
        everybody = family(process.pid)
        process.kill()
        process.wait()
    before = results(folder)
    assert load_outcome(folder) is None
    with running("resume", RUN, "--state", str(state)) as process:
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, output
    assert results(folder) > before
    require_ended_as_its_replay(state)
    assert not shared_memory_of(folder).exists()
    until(lambda: gone(everybody))  # Ray's own agents take a minute


def test_sigterm_takes_a_snapshot_and_says_how_to_go_on(state: Path, arguments: list[str]) -> None:
    folder = state / RUN
    with running(*arguments) as process:
        until(lambda: results(folder) >= 20, process)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, output
    assert f"ripieno resume {RUN}" in output
    assert list(RunFolder(folder).snapshots.iterdir())
    with running("resume", RUN, "--state", str(state)) as process:
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, output
    require_ended_as_its_replay(state)
