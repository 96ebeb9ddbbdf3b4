"""A RemotePool with workers that need no torch: child processes that do the simplest work there is."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cluster.launchers import Launcher, LocalProcesses, Member
from cluster.sessions import Door
from cluster.shared_memory import SharedFolder
from orchestrator.pools.remote import RemotePool
from orchestrator.worker import WorkerSettings

ENTRY = "tests.support.remote_worker:serve"


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


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
