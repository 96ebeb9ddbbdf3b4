"""A worker's loop, over a real session in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from threading import Thread

import pytest

from cluster.sessions import Door, SessionServer
from cluster.shared_memory import SharedFolder
from orchestrator.pools.execute import WorkFailed
from orchestrator.pools.latency import Pareto
from orchestrator.records import Cause, Failure, Ref, Work
from orchestrator.worker import Training, WorkerSettings, work_for_engine
from tests.support.sessions import Recorder, assignment


def test_settings_travel_whole() -> None:
    door = Door("r-1", "secret", "/s", "/f", "h:1", "PEM", 0.5)
    settings = WorkerSettings(door, "worker-0", labels={"zone": "a"}, training=Training("m:C", 7, folders=("/x",)))
    again = WorkerSettings.from_json(settings.to_json())
    assert again.door == door
    assert again.training is not None
    assert (again.training.task, tuple(again.training.folders)) == ("m:C", ("/x",))
    assert again.to_json() == settings.to_json()


def test_a_secret_is_not_printed() -> None:
    assert "hush" not in repr(WorkerSettings(Door("r-1", "hush", "/s", "/f"), "worker-0"))


@pytest.fixture
def heard() -> Recorder:
    return Recorder()


@pytest.fixture
def server(tmp_path: Path, heard: Recorder) -> Iterator[SessionServer]:
    folder = SharedFolder(tmp_path / "shared", create=True)
    server = SessionServer("r-test", tmp_path / "shared", heard, heartbeat_s=1.0)
    yield server
    server.close()
    folder.close()


def execute(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
    began_s = time.perf_counter()
    while time.perf_counter() - began_s < 0.01:
        pass
    if work.id == 2:
        raise WorkFailed(Failure(Cause.USER_ERROR, "KeyError: 'x'", "Traceback …"))
    return {"out": Ref(f"{work.id}.out")}, {"loss": float("inf")}


def test_a_slow_worker_takes_its_time_and_says_so(server: SessionServer, heard: Recorder) -> None:
    settings = WorkerSettings(server.door, "worker-0", slow_factor=4.0)
    thread = Thread(target=work_for_engine, args=(settings, lambda folder: execute))
    thread.start()
    began_s = time.perf_counter()
    heard.next().peer.assign([assignment(1), assignment(2)])
    done, failed = heard.next().result, heard.next().result
    assert time.perf_counter() - began_s >= 0.08
    assert 0.04 <= done.computed_s < 1.0
    assert (dict(done.outputs), dict(done.metrics)) == ({"out": "1.out"}, {"loss": float("inf")})
    assert (failed.failure.cause, failed.failure.traceback) == ("user error", "Traceback …")
    server.close()
    thread.join(5)
    assert not thread.is_alive()


def test_a_delay_is_of_the_work_and_not_of_who_does_it() -> None:
    door = Door("r-1", "secret", "/s", "/f")
    first, second = (
        WorkerSettings.from_json(WorkerSettings(door, name, delay=Pareto(1.5, 0.3)).to_json()) for name in ("a", "b")
    )
    works = [Work(number, 0, "gradient", {}, {}) for number in range(2_000)]
    delays_s = [first.extra_s(work, 1.0) for work in works]
    assert delays_s == [second.extra_s(work, 9.0) for work in works]
    assert min(delays_s) >= 0.1  # a third of the mean
    assert median(delays_s) == pytest.approx(0.1 * 2 ** (1 / 1.5), rel=0.1)
