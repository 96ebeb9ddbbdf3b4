"""What a launcher starts, and what it tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

RESTARTS = 5
"""How often a member is started again; one that lived for HEALTHY_S before it died counts from 0 again."""

HEALTHY_S = 60.0
NODE_ANSWER_S = 0.25
BACKOFF_S = 0.2
"""Before the first restart; twice as long before each further one."""


class Needs(NamedTuple):
    """What a process reserves: cores, and GPUs, which may be a fraction below 1."""

    cpu: float = 1.0
    gpu: float = 0.0

    def __str__(self) -> str:
        return f"{self.cpu:g} CPUs" + (f" and {self.gpu:g} GPUs" if self.gpu else "")


@dataclass(frozen=True, slots=True)
class Member:
    """One process of a run.

    entry: `module:function`, called with `argument` in the new process, which ends when it returns.
    argument: may hold secrets, and is handed over where nobody else can read it.
    environment: variables set before anything is imported.
    needed: from the start; if not, it is started as soon as there is room for it.
    """

    name: str
    entry: str
    argument: str
    needs: Needs = field(default=Needs())
    environment: Mapping[str, str] = field(default_factory=dict)
    needed: bool = True


class Watcher(Protocol):
    """Whom a launcher tells. Called on the launcher's threads: returns at once, never raises."""

    def died(self, member: str, reason: str) -> None:
        """The process ended, and not because its entry returned; told before another one is started in its name."""


class Launcher(Protocol):
    """Owns the processes it starts: they end with `close`, and with the process that made the launcher."""

    def start(self, members: Sequence[Member], watcher: Watcher) -> None:
        """Starts those that are needed, all or none, and each other one as soon as there is room for it. One that dies
        is told, and started again up to RESTARTS times, or as often as it takes where its node went; one whose entry
        returns has done its part. Called once."""

    def end(self, member: str) -> None:
        """Ends its process at once, whatever that is doing; to the launcher it has died. Of none that runs: nothing.
        From any thread."""

    def lost_node(self, member: str) -> bool:
        """Whether the machine is gone that its latest process was on. From any thread; takes NODE_ANSWER_S at most."""

    def close(self) -> None:
        """Ends them all, those that are just coming up too. Takes a few seconds at most."""


class Restarts:
    """Whether and when a member that died is started again."""

    def __init__(self) -> None:
        self._used = 0

    def pause_s(self, lived_s: float) -> float | None:
        """Seconds to wait before the next start; None: it has died too often."""
        if lived_s >= HEALTHY_S:
            self._used = 0
        self._used += 1
        return BACKOFF_S * 2 ** (self._used - 1) if self._used <= RESTARTS else None
