"""Each fault of the list, done to real processes; each returns when the run has noticed and goes on, or has ended."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from random import Random
from typing import TypeAlias

import psutil

from orchestrator.journal.reader import segment_numbers, segment_path
from orchestrator.journal.records import Record
from orchestrator.records import AGGREGATOR, Cause, Joined, Left, Result
from tests.support.chaos.engine import DISTANT
from tests.support.chaos.stage import Stage
from tests.support.chaos.task import ALL
from tests.support.faults import Fault
from tests.support.proxy import Proxy

Trouble: TypeAlias = Callable[[Stage, Random], None]

NEAR = "worker-0"
GUEST = "worker-9"
AWAY_S = 1.5
"""For so long MLflow hangs or is slow."""


def left(stage: Stage, worker: str) -> Callable[[], int]:
    return lambda: sum(isinstance(event, Left) and event.worker == worker for event in stage.events())


def joined(stage: Stage, worker: str) -> Callable[[], int]:
    return lambda: sum(isinstance(event, Joined) and event.worker == worker for event in stage.events())


def answers(stage: Stage, worker: str) -> Callable[[], int]:
    return lambda: sum(isinstance(event, Result) and event.worker == worker for event in stage.events())


def crash(stage: Stage, random: Random) -> None:
    victim = random.choice((NEAR, DISTANT))
    process = stage.member(victim)
    stage.until_more(answers(stage, victim))
    process.kill()
    stage.until(lambda: not process.is_running() and stage.member(victim).pid != process.pid)


def hang(stage: Stage, random: Random) -> None:
    before = left(stage, NEAR)()
    process = stage.member(NEAR)
    stage.until_more(answers(stage, NEAR))  # one that was not there yet is missed by nobody
    process.suspend()
    stage.until(lambda: left(stage, NEAR)() > before)


def slow(stage: Stage, random: Random) -> None:
    process = stage.member(NEAR)
    process.suspend()
    stage.until_more(answers(stage, DISTANT))
    process.resume()


def lost_reply(stage: Stage, random: Random) -> None:
    _broken_reply(stage, delivered=False)


def duplicate_reply(stage: Stage, random: Random) -> None:
    _broken_reply(stage, delivered=True)


def _broken_reply(stage: Stage, delivered: bool) -> None:
    stage.until_more(answers(stage, DISTANT))
    stage.proxy.break_reply(delivered)
    stage.until_more(lambda: stage.proxy.accepted)
    stage.until_more(answers(stage, DISTANT), 2)


def join(stage: Stage, random: Random) -> None:
    stage.invite(GUEST)
    stage.until_more(answers(stage, GUEST))


def leave(stage: Stage, random: Random) -> None:
    if GUEST not in stage.guests:
        join(stage, random)
    before = left(stage, GUEST)()
    stage.dismiss(GUEST)
    stage.until(lambda: left(stage, GUEST)() > before)


def aggregator_lost(stage: Stage, random: Random) -> None:
    name = f"{AGGREGATOR}-0"
    before = left(stage, name)()
    stage.member(name).kill()
    stage.until(lambda: left(stage, name)() > before)


def driver_killed(stage: Stage, random: Random) -> None:
    stage.kill_engine()
    before = stage.records()
    stage.start()
    stage.until(lambda: len(stage.records()) > len(before))
    require_begins_with(stage.records(), before)


def second_driver(stage: Stage, random: Random) -> None:
    second = stage.command("resume", stage.run, "--state", str(stage.files.state))
    assert second.wait() == 2, stage.said()
    assert "is being written by process" in stage.said()


def disk_full(stage: Stage, random: Random) -> None:
    """No file of the engine's may grow beyond what its journal has now."""
    assert stage.engine is not None
    newest = segment_path(stage.files.journal, segment_numbers(stage.files.journal)[-1])
    size_bytes = newest.stat().st_size + random.randrange(500)
    psutil.Process(stage.engine.pid).rlimit(resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))
    assert stage.ended() == 1, stage.said()
    assert "no room for " in stage.said()
    stage.dismiss_all()
    before = stage.records()
    stage.start()
    stage.until(lambda: len(stage.records()) > len(before))
    require_begins_with(stage.records(), before)


def torn_write(stage: Stage, random: Random) -> None:
    """The last append reached the disk in part: as when the power goes."""
    stage.kill_engine()
    whole = stage.records()
    newest = segment_path(stage.files.journal, segment_numbers(stage.files.journal)[-1])
    data = newest.read_bytes()
    newest.write_bytes(data[: len(data) - 1 - random.randrange(8)])
    before = stage.records()
    assert len(before) == len(whole) - 1
    stage.start()
    stage.until(lambda: len(stage.records()) > len(before))
    require_begins_with(stage.records(), before)
    assert "torn" in stage.said()


def non_finite_from_one(stage: Stage, random: Random) -> None:
    victim = random.choice((NEAR, DISTANT))
    switch = stage.switches / f"nan-{victim}"
    rejected = [event for event in stage.events() if _rejected(event)]
    switch.touch()
    stage.until(lambda: sum(map(_rejected, stage.events())) > len(rejected))
    switch.unlink()


def non_finite_from_all(stage: Stage, random: Random) -> None:
    (stage.switches / f"nan-{ALL}").touch()
    assert stage.ended() == 1, stage.said()
    (stage.switches / f"nan-{ALL}").unlink()


def _rejected(event: object) -> bool:
    return isinstance(event, Result) and event.failure is not None and event.failure.cause is Cause.NON_FINITE


def require_begins_with(records: list[Record], before: list[Record]) -> None:
    """Nothing that was journalled is lost or told otherwise."""
    assert records[: len(before)] == before


def of_mlflow(do: Callable[[Proxy], None], waits: bool) -> Trouble:
    """waits: until it was noticed by who writes the run's record."""

    def trouble(stage: Stage, random: Random) -> None:
        assert stage.mlflow is not None
        do(stage.mlflow)
        if waits:
            stage.until_more(stage.mlflow_failures)
        stage.until_more(lambda: len(stage.records()), 10)

    return trouble


TROUBLES: Mapping[Fault, Trouble] = {
    Fault.CRASH: crash,
    Fault.HANG: hang,
    Fault.SLOW: slow,
    Fault.LOST_REPLY: lost_reply,
    Fault.DUPLICATE_REPLY: duplicate_reply,
    Fault.JOIN: join,
    Fault.LEAVE: leave,
    Fault.AGGREGATOR_LOST: aggregator_lost,
    Fault.DRIVER_KILLED: driver_killed,
    Fault.SECOND_DRIVER: second_driver,
    Fault.DISK_FULL: disk_full,
    Fault.TORN_WRITE: torn_write,
    Fault.MLFLOW_ABSENT: of_mlflow(Proxy.cut, waits=True),
    Fault.MLFLOW_HANGING: of_mlflow(Proxy.stall, waits=False),
    Fault.MLFLOW_FAILING: of_mlflow(Proxy.fail, waits=True),
    Fault.MLFLOW_SLOW: of_mlflow(lambda proxy: proxy.slow(0.2), waits=False),
    Fault.MLFLOW_BACK: of_mlflow(Proxy.heal, waits=False),
    Fault.NON_FINITE_FROM_ONE: non_finite_from_one,
    Fault.NON_FINITE_FROM_ALL: non_finite_from_all,
}
