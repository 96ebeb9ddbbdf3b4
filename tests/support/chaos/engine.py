"""The command line as users have it, with workers as child processes instead of Ray's: `python -m … FOLDER WORDS`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orchestrator.workers
from cluster.launchers import LocalProcesses, Member, Watcher
from cluster.shared_memory import SharedFolder
from orchestrator.cli import app
from orchestrator.journal.records import Started
from orchestrator.lifecycle import OpenPool
from orchestrator.protocols import Pool
from orchestrator.spec import Spec
from orchestrator.worker import WorkerSettings
from orchestrator.workers import open_pool_of
from tests.support.chaos.task import MEMBER

DISTANT = "worker-1"
"""Dials in over TCP, through the proxy, as if from another host."""


class WithDetour(LocalProcesses):
    """Each member knows its name; a distant one is sent through a proxy, and not all are launched.

    folder: where the engine's own address is left (`engine`), and what a worker is to be told that is not launched
    (`guest`). place: the proxy's address, and the names of those to launch.
    """

    def __init__(self, folder: Path, place: Mapping[str, Any]) -> None:
        super().__init__()
        self._folder, self._place = folder, place

    def start(self, members: Sequence[Member], watcher: Watcher) -> None:
        settings = WorkerSettings.from_json(members[-1].argument)
        (self._folder / "engine").write_text(settings.door.address)
        guest = self._folder / "guest"
        guest.touch(0o600)
        guest.write_text(settings.to_json())
        launched = [self._sent(member) for member in members if member.name in self._place["launched"]]
        super().start(launched, watcher)

    def _sent(self, member: Member) -> Member:
        settings = WorkerSettings.from_json(member.argument)
        if member.name == DISTANT:
            door = replace(settings.door, address=self._place["proxy"])
            settings = replace(settings, door=door, share=False)
        return replace(member, argument=settings.to_json(), environment={**member.environment, MEMBER: member.name})


def local(folder: Path) -> OpenPool:
    """Workers of this host and, over TCP, of what they take for another. folder: see WithDetour, and `place.json`."""
    place = json.loads((folder / "place.json").read_text())

    def open_pool(started: Started, spec: Spec, values: SharedFolder) -> Pool:
        return open_pool_of(started, spec, values, WithDetour(folder, place), host=place["host"])

    return open_pool


if __name__ == "__main__":
    folder = Path(sys.argv.pop(1))
    orchestrator.workers.on_ray = lambda address: local(folder)
    app()
