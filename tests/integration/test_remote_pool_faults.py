"""What becomes of work when its worker dies, hangs or is far away; on child processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.launchers import LocalProcesses
from cluster.sessions.chunks import CHUNK_BYTES
from orchestrator.records import Assignment, Cause, Joined, Left, Place, Result, Work
from tests.contract.test_pools import History
from tests.support.remote import OwnedPool, Workplace, members
from tests.support.remote_worker import until

NAMES = ["worker-0", "worker-1"]


@pytest.fixture
def launcher() -> LocalProcesses:
    return LocalProcesses()


@pytest.fixture
def place(tmp_path: Path, launcher: LocalProcesses) -> Iterator[Workplace]:
    place = Workplace(tmp_path / "shared", NAMES, launcher=launcher, heartbeat_s=1.0)
    yield place
    place.pool.close()


@pytest.fixture(params=[True, False], ids=["shared memory", "other hosts"])
def any_place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Workplace]:
    place = Workplace(tmp_path / "shared", NAMES, share=request.param)
    yield place
    place.pool.close()


def causes(results: list[Result]) -> list[Cause | None]:
    return [result.failure.cause if result.failure else None for result in results]


def test_values_pass_from_worker_to_worker(any_place: Workplace) -> None:
    size = 3 * CHUNK_BYTES + 1
    any_place.ask(0, "worker-0", "make", size=size)
    any_place.ask(1, "worker-1", "make", size=5)
    any_place.ask(7, "worker-1", "make", size=3)
    any_place.results(0, 1, 7)
    any_place.ask(2, "worker-1", "join", inputs=["1.out", "0.out", "7.out"])
    assert causes(any_place.results(2)) == [None]
    value = bytes(number % 251 for number in range(size))
    assert bytes(any_place.pool.folder.read("2.out")) == value[:5] + value + value[:3]


def test_work_whose_input_is_nowhere_fails_and_its_worker_goes_on(any_place: Workplace) -> None:
    any_place.ask(0, "worker-0", "join", inputs=["7.out"])
    any_place.ask(1, "worker-0")
    assert causes(any_place.results(0, 1)) == [Cause.BAD_REPLY, None]


def test_work_that_is_cancelled_while_it_is_done_stops_and_says_how_long_it_took(
    any_place: Workplace, tmp_path: Path
) -> None:
    any_place.ask(0, "worker-0", "wait", file=str(tmp_path / "never"))
    until((tmp_path / "never.begun").exists)
    any_place.pool.cancel([0])
    (stopped,) = any_place.results(0)
    assert causes([stopped]) == [Cause.CANCELLED]
    assert stopped.computed_s > 0
    any_place.ask(1, "worker-0")
    assert causes(any_place.results(1)) == [None]


def test_a_killed_worker_loses_its_work_leaves_and_is_back(
    place: Workplace, launcher: LocalProcesses, tmp_path: Path
) -> None:
    place.ask(0, "worker-0", "wait", file=str(tmp_path / "go"))
    place.ask(1, "worker-0")
    until((tmp_path / "go.begun").exists)
    os.kill(launcher.pids()["worker-0"], signal.SIGKILL)
    left = place.event(Left)
    lost = place.results(0, 1)
    assert (left.worker, causes(lost)) == ("worker-0", [Cause.LOST_WORKER] * 2)
    assert place.history.events.index(left) > max(map(place.history.events.index, lost))
    assert place.event(Joined).worker == "worker-0"
    place.ask(2, "worker-0")
    assert causes(place.results(2)) == [None]


def test_what_a_lost_worker_left_behind_is_not_in_the_way_of_who_does_its_work(
    place: Workplace, launcher: LocalProcesses, tmp_path: Path
) -> None:
    place.ask(0, "worker-0", "wait", file=str(tmp_path / "go"))
    until((tmp_path / "go.begun").exists)
    place.pool.folder.write("0.out", [b"written by the one that died, and other bytes"])
    os.kill(launcher.pids()["worker-0"], signal.SIGKILL)
    place.event(Left)
    (tmp_path / "go").touch()
    place.ask(0, "worker-1", "wait", file=str(tmp_path / "go"))
    place.history.until(lambda: None in causes(place.history.results))
    assert bytes(place.pool.folder.read("0.out")) == b"waited"


def test_what_a_killed_worker_was_writing_is_gone_with_it(
    place: Workplace, launcher: LocalProcesses, tmp_path: Path
) -> None:
    place.ask(0, "worker-0", "draft", size=1 << 20, file=str(tmp_path / "go"))
    until((tmp_path / "go.begun").exists)
    before = unfinished(place)
    os.kill(launcher.pids()["worker-0"], signal.SIGKILL)
    place.event(Left)
    assert (len(before), unfinished(place)) == (1, [])


def unfinished(place: Workplace) -> list[Path]:
    return [file for file in place.pool.folder.path.glob(".*-*") if file.stat().st_size == 1 << 20]


def test_a_stopped_worker_is_noticed_within_two_heartbeats_and_joins_again_when_it_goes_on(
    place: Workplace, launcher: LocalProcesses, tmp_path: Path
) -> None:
    place.ask(0, "worker-0", "wait", file=str(tmp_path / "go"))
    until((tmp_path / "go.begun").exists)
    stopped = psutil.Process(launcher.pids()["worker-0"])
    before_s = place.history.wakes[-1].now_s
    stopped.suspend()
    left = place.event(Left)
    assert left.worker == "worker-0"
    assert place.history.wakes[-1].now_s - before_s < 2 * place.pool.door.heartbeat_s + 1
    stopped.resume()
    assert place.event(Joined).worker == "worker-0"
    (tmp_path / "go").touch()  # what it does now, nobody waits for any more
    place.ask(1, "worker-0")
    assert causes(place.results(0, 1)) == [Cause.LOST_WORKER, None]


def test_a_process_that_hangs_is_ended_and_another_one_takes_its_place(any_place: Workplace, tmp_path: Path) -> None:
    any_place.ask(0, "worker-0", "pid")
    hung = psutil.Process(int(any_place.results(0)[0].metrics["pid"]))
    any_place.ask(1, "worker-0", "wait", file=str(tmp_path / "never"), timeout_s=0.5)
    any_place.ask(2, "worker-0")
    left = any_place.event(Left)
    ended = any_place.results(1, 2)
    assert (left, causes(ended)) == (Left("worker-0", Cause.TIMEOUT), [Cause.TIMEOUT, Cause.LOST_WORKER])
    assert any_place.history.events.index(left) > max(map(any_place.history.events.index, ended))
    assert any_place.event(Joined).worker == "worker-0"
    until(lambda: not hung.is_running())
    any_place.ask(3, "worker-0")
    assert causes(any_place.results(3)) == [None]


def test_a_worker_that_nobody_launched_goes_on_and_its_late_answer_is_dropped(
    launcher: LocalProcesses, tmp_path: Path
) -> None:
    pool = OwnedPool(tmp_path / "shared")
    launcher.start(members(["worker-0"], pool.door), pool)
    history = History(pool)
    history.until(lambda: "worker-0" in history.free)
    wait = Work(0, 0, "wait", {}, {"file": str(tmp_path / "go")}, Place("worker-0"), timeout_s=0.1)
    pool.submit([Assignment(wait, "worker-0", 1)])
    until((tmp_path / "go.begun").exists)
    history.until(lambda: bool(history.results))
    (tmp_path / "go").touch()
    pool.submit([Assignment(Work(1, 0, "noop", {}, {}, Place("worker-0")), "worker-0", 1)])
    history.until(lambda: len(history.results) == 2)
    assert causes(history.results) == [Cause.TIMEOUT, None]
    assert not any(isinstance(event, Left) for event in history.events)
    pool.close()
    launcher.close()


def test_a_wait_can_be_interrupted_by_a_signal_handler(place: Workplace) -> None:
    before = signal.signal(signal.SIGALRM, lambda number, frame: place.pool.interrupt())
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        assert place.pool.wait(None).events == ()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_closing_leaves_no_process_no_value_and_no_socket(tmp_path: Path, any_place: Workplace) -> None:
    ours = psutil.Process().children(recursive=True)
    children = [child for child in ours if "cluster.child" in child.cmdline()]  # not a server of other tests
    assert len(children) == len(NAMES)
    any_place.ask(0, "worker-0", "make", size=10)
    any_place.results(0)
    any_place.pool.close()
    until(lambda: not any(child.is_running() for child in children))
    assert list(tmp_path.iterdir()) == []
