"""A RemotePool with workers that need no torch: child processes that do the simplest work there is."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cluster.launchers import Launcher, LocalProcesses, Member
from cluster.sessions import Door
from cluster.shared_memory import SharedFolder
from orchestrator.pools.execute import Execute, WorkFailed
from orchestrator.pools.remote import RemotePool
from orchestrator.records import Cause, Failure, Ref, Work
from orchestrator.worker import WorkerSettings, work_for_engine

ENTRY = "tests.support.remote:serve"


def serve(argument: str) -> None:
    """The entry of these workers."""
    work_for_engine(WorkerSettings.from_json(argument), simple)


def simple(folder: SharedFolder) -> Execute:
    """Kinds: noop; join: its inputs one after another; make: `size` bytes; wait: until `file` is there."""

    def execute(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
        params = dict(work.params)
        if "raise" in params:
            raise WorkFailed(Failure(Cause(str(params["raise"])), "as asked"))
        out = Ref(f"{work.id}.out")
        if work.kind == "make":
            folder.write(out, [bytes(i % 251 for i in range(int(str(params["size"]))))])
        elif work.kind == "join":
            try:
                folder.write(out, [folder.read(ref) for ref in work.inputs.values()])
            except KeyError as error:
                raise WorkFailed(Failure(Cause.BAD_REPLY, f"no value {error}")) from None
        elif work.kind == "wait":
            until(lambda: Path(str(params["file"])).exists())
            folder.write(out, [b"waited"])
        else:
            folder.write(out, [b"noop"])
        return {"out": out}, {"twice": 2.0 * work.id}

    return execute


def members(names: Sequence[str], door: Door, *, share: bool = True, entry: str = ENTRY) -> list[Member]:
    return [Member(name, entry, WorkerSettings(door, name, share=share).to_json()) for name in names]


class OwnedPool(RemotePool):
    """With the shared folder that an engine would have made."""

    def __init__(self, run: str, path: Path, *, host: str = "", heartbeat_s: float = 2.0) -> None:
        self.folder = SharedFolder(path, create=True)
        super().__init__(run, path, heartbeat_s=heartbeat_s, host=host)

    def close(self) -> None:
        super().close()
        self.folder.close()


def open_pool(
    path: Path, names: Sequence[str], *, launcher: Launcher | None = None, host: str = "", share: bool = True
) -> OwnedPool:
    pool = OwnedPool("r-test", path, host=host)
    pool.launch(launcher or LocalProcesses(), members(names, pool.door, share=share))
    return pool


def until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    """Looks again and again; raises AssertionError when it has been long enough."""
    last_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < last_s, f"not within {within_s:g} s"
        time.sleep(0.005)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
