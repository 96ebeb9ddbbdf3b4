"""A RemotePool with workers that need no torch: child processes that do the simplest work there is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from cluster.launchers import Launcher, LocalProcesses, Member
from cluster.sessions import Door
from cluster.shared_memory import SharedFolder
from orchestrator.pools.remote import RemotePool
from orchestrator.records import Assignment, Event, Place, Ref, Result, Work
from orchestrator.worker import WorkerSettings
from tests.contract.test_pools import History

ENTRY = "tests.support.remote_worker:serve"
EventT = TypeVar("EventT", bound=Event)


def members(names: Sequence[str], door: Door, *, share: bool = True) -> list[Member]:
    return [Member(name, ENTRY, WorkerSettings(door, name, share=share).to_json()) for name in names]


class OwnedPool(RemotePool):
    """With the shared folder that an engine would have made."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.folder = SharedFolder(path, create=True)
        super().__init__("r-test", path, **options)

    def close(self) -> None:
        super().close()
        self.folder.close()


def open_pool(
    path: Path, names: Sequence[str], *, launcher: Launcher | None = None, share: bool = True, **options: Any
) -> OwnedPool:
    """share: False: over TLS, with workers that act as if they were on another host."""
    pool = OwnedPool(path, host="" if share else "127.0.0.1", **options)
    pool.launch(launcher or LocalProcesses(), members(names, pool.door, share=share))
    return pool


class Workplace:
    """A pool with a history, whose workers have all joined."""

    def __init__(self, folder: Path, names: Sequence[str], **options: Any) -> None:
        self.pool = open_pool(folder, names, **options)
        self.history = History(self.pool)
        self.history.until(lambda: len(self.history.free) == len(names))

    def ask(self, number: int, worker: str, kind: str = "noop", *, inputs: Sequence[str] = (), **params: Any) -> None:
        timeout_s = params.pop("timeout_s", None)
        refs = {ref: Ref(ref) for ref in inputs}
        work = Work(number, 0, kind, refs, params, Place(worker), timeout_s=timeout_s)
        self.pool.submit([Assignment(work, worker, 1)])

    def results(self, *numbers: int) -> list[Result]:
        """Of these works, as soon as they are all there."""
        self.history.until(lambda: set(numbers) <= {result.work_id for result in self.history.results})
        return [result for result in self.history.results if result.work_id in numbers]

    def event(self, kind: type[EventT]) -> EventT:
        """The first of this kind from now on."""
        seen = len(self.history.events)
        self.history.until(lambda: any(isinstance(event, kind) for event in self.history.events[seen:]))
        return next(event for event in self.history.events[seen:] if isinstance(event, kind))
