"""The same pool on Ray: workers are actors of a real cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.launchers import CannotFit, Needs, RayLauncher, check_fits
from cluster.shared_memory import reap
from orchestrator.records import Cause, Joined, Left
from orchestrator.workers import own_host
from tests.support.remote import Workplace
from tests.support.remote_worker import until

NAMES = ["worker-0", "worker-1", "worker-2", "worker-3"]
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


@pytest.fixture(scope="module")
def place(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    place = Workplace(tmp_path_factory.mktemp("ray") / "shared", NAMES, launcher=RayLauncher(ray_cluster))
    yield place
    place.pool.close()


def pid_of(place: Workplace, worker: str, number: int) -> int:
    place.ask(number, worker, "pid")
    return int(place.results(number)[0].metrics["pid"])


def test_each_worker_does_its_work_in_a_process_of_its_own(place: Workplace) -> None:
    pids = {pid_of(place, name, number) for number, name in enumerate(NAMES)}
    assert len(pids) == len(NAMES)
    assert os.getpid() not in pids


def test_a_killed_actor_loses_its_work_and_is_back_under_its_name(place: Workplace, tmp_path: Path) -> None:
    pid = pid_of(place, "worker-2", 10)
    place.ask(11, "worker-2", "wait", file=str(tmp_path / "go"))
    until((tmp_path / "go.begun").exists)
    os.kill(pid, signal.SIGKILL)
    assert place.event(Left).worker == "worker-2"
    failure = place.results(11)[0].failure
    assert failure is not None
    assert failure.cause is Cause.LOST_WORKER
    assert place.event(Joined).worker == "worker-2"
    assert pid_of(place, "worker-2", 12) != pid


@pytest.mark.parametrize("address", ["auto", "localhost:{port}", "127.0.0.1:{port}", "{host}:{port}"])
def test_workers_dial_this_machine_by_the_address_that_its_cluster_has_for_it(
    ray_cluster: str, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    host, _, port = ray_cluster.rpartition(":")
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster)  # what "auto" looks for
    assert own_host(address.format(host=host, port=port)) == host


def test_what_the_cluster_can_never_give_is_told_before_anything_starts(ray_cluster: str) -> None:
    assert check_fits(ray_cluster, [Needs()] * 8) == {"CPU": 8, "GPU": 0}
    with pytest.raises(CannotFit, match="needs 9 CPUs at once and the cluster has 8 CPUs"):
        check_fits(ray_cluster, [Needs()] * 9)
    with pytest.raises(CannotFit, match="needs 1 CPUs and 1 GPUs at once"):
        check_fits(ray_cluster, [Needs(1, 1)])


class Engine:
    """A driver in a process of its own, with all the processes below it."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "tests.support.remote_engine", str(folder), address]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        lines = iter(self.process.stdout.readline, "")
        said = next((line for line in lines if line.startswith("{")), None)
        assert said is not None, f"the engine ended with {self.process.wait()}"
        self.workers = [psutil.Process(pid) for pid in json.loads(said)["pids"]]
        self.below = psutil.Process(self.process.pid).children(recursive=True)

    def gone(self) -> bool:
        return not any(_lives(process) for process in [*self.workers, *self.below])


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_engine_takes_its_actors_along_and_the_next_one_clears_its_folder(
    ray_cluster: str, tmp_path: Path
) -> None:
    engine = Engine(tmp_path, ray_cluster)
    engine.process.kill()
    until(engine.gone)
    assert reap(tmp_path, "shared") == [tmp_path / "shared"]
    assert not (tmp_path / "shared").exists()


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_an_engine_with_a_ray_of_its_own_leaves_no_process(how: str, tmp_path: Path) -> None:
    """Two agents of a killed Ray look for their head for another minute before they end too; nobody can hasten them."""
    engine = Engine(tmp_path, "local")
    if how == "killed":
        engine.below = [process for process in engine.below if not process.name().endswith("Agent")]
    assert any("raylet" in process.name() for process in engine.below)
    if how == "killed":
        engine.process.kill()
    else:
        assert engine.process.stdin is not None
        engine.process.stdin.close()
    until(engine.gone)
    engine.process.wait(10)
    if how == "closed":
        assert not (tmp_path / "shared").exists()
