"""Whole runs on worker processes over real streams: their bits are those of a replay in one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.launchers import LocalProcesses
from cluster.shared_memory import SharedFolder
from orchestrator.folder import shared_memory_of
from orchestrator.journal.records import Started
from orchestrator.lifecycle import OpenPool, start
from orchestrator.outcome import Outcome
from orchestrator.protocols import Pool
from orchestrator.records import AGGREGATOR, Actions, Joined, Left, Wake
from orchestrator.spec import Spec
from orchestrator.verify import replay
from orchestrator.workers import open_pool_of
from tests.support.runs import digits_spec, inline

STEPS = 6  # before something happens


class Saboteur:
    """After a few steps, kills the process of one member; notes who came and went."""

    def __init__(self, processes: LocalProcesses, victim: str) -> None:
        self.processes, self.victim = processes, victim
        self.rounds = 0
        self.came: list[str] = []
        self.went: list[str] = []

    def seen(self, wake: Wake, actions: Actions) -> None:
        self.came += [event.worker for event in wake.events if isinstance(event, Joined)]
        self.went += [event.worker for event in wake.events if isinstance(event, Left)]
        self.rounds += len(actions.closed)
        if self.rounds >= STEPS and self.victim:
            os.kill(self.processes.pids()[self.victim], signal.SIGKILL)
            self.victim = ""


@pytest.fixture
def processes() -> LocalProcesses:
    return LocalProcesses()


@pytest.fixture
def on_processes(processes: LocalProcesses) -> OpenPool:
    def open_pool(started: Started, spec: Spec, values: SharedFolder) -> Pool:
        return open_pool_of(started, spec, values, processes)

    return open_pool


def require_the_bits_of_its_replay(outcome: Outcome) -> None:
    assert outcome.outcome == "done", outcome.reason
    again = replay(outcome.folder)
    assert again.same
    assert again.weights_sha256 == outcome.weights_sha256 != ""
    assert not shared_memory_of(outcome.folder).exists()


@pytest.mark.parametrize("victim", ["", "worker-1", f"{AGGREGATOR}-0"])
def test_a_run_on_processes_ends_with_the_bits_of_its_replay(
    tmp_path: Path, processes: LocalProcesses, on_processes: Callable[..., Pool], victim: str
) -> None:
    saboteur = Saboteur(processes, victim)
    spec = digits_spec(tmp_path, epochs=3, quorum={"static": {"k": 3}})
    outcome = start(spec, open_pool=on_processes, observers=[saboteur])
    require_the_bits_of_its_replay(outcome)
    assert saboteur.went == ([victim] if victim else [])
    if victim == f"{AGGREGATOR}-0":  # no step without one, so it must have come back
        assert saboteur.came.count(victim) == 2


def test_python_users_get_the_same_run() -> None:
    import orchestrator
    from orchestrator.spec.problems import SpecInvalid

    with pytest.raises(SpecInvalid, match=r"train\.workers"):
        orchestrator.run({"task": "tests.support.digits_task:Digits", "train": {"workers": 0}})
    assert {name for name in orchestrator.__all__ if not hasattr(orchestrator, name)} == set()


def test_what_a_killed_worker_had_in_shared_memory_goes_with_the_run(tmp_path: Path) -> None:
    """A worker of another host has a folder of its own; here it is one on this host, killed as the run ends."""
    program = "import sys; from pathlib import Path; from cluster.shared_memory import SharedFolder\n"
    program += "import os; SharedFolder(Path(sys.argv[1]), create=True); os._exit(1)"
    own: list[Path] = []

    def open_pool(started: Started, spec: Spec, values: SharedFolder) -> Pool:
        own.append(values.path.with_name(f"{values.path.name}-worker-1-5e55"))
        subprocess.run([sys.executable, "-c", program, str(own[0])])
        assert own[0].exists()
        return inline(started, spec, values)

    assert start(digits_spec(tmp_path, epochs=1), open_pool=open_pool).outcome == "done"
    assert not own[0].exists()
