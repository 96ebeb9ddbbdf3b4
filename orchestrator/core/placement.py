"""Who is there, what they are doing, and what waits for a free slot."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

import msgspec

from orchestrator.records import ANY, WORKER, Assignment, Joined, Work


class Pending(NamedTuple):
    """Work that waits for a slot.

    attempt: the one to come, from 1. avoid: the worker it failed on, if another one is there.
    history: cause and message of each failed attempt whose number is limited.
    """

    work: Work
    attempt: int = 1
    avoid: str = ANY
    history: tuple[tuple[str, str], ...] = ()


class Flight(NamedTuple):
    """Work that a worker has; dispatched_s: on the pool's clock."""

    work: Work
    worker: str
    attempt: int
    history: tuple[tuple[str, str], ...]
    dispatched_s: float


class IdleWorkers:
    """The view of free workers that a strategy is asked with (`protocols.Idle`): the placement's dict, not a copy."""

    def __init__(self, free: dict[str, int]) -> None:
        self._free = free
        self.fresh: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return iter(self._free)

    def __len__(self) -> int:
        return len(self._free)

    def __contains__(self, worker: object) -> bool:
        return worker in self._free

    def __getitem__(self, worker: str) -> int:
        return self._free[worker]


class Placement:
    """Slots, flights and queues. A wake costs O(what it changes), never O(workers)."""

    def __init__(self) -> None:
        self.workers: dict[str, Joined] = {}
        self.known: set[str] = set()  # every name of role "worker" that ever joined
        self.flights: dict[int, Flight] = {}
        self.busy: dict[str, dict[int, Flight]] = {}  # present workers with work, whatever their role
        self.free: dict[str, dict[str, int]] = {WORKER: {}}  # role -> worker -> free slots, only those with one
        self.present: dict[str, set[str]] = {WORKER: set()}  # role -> connected workers
        self.pinned: dict[str, deque[Pending]] = {}
        self.waiting: dict[str, deque[Pending]] = {}  # role -> first in, first out
        self.idle = IdleWorkers(self.free[WORKER])
        self._touched: dict[str, None] = {}  # workers whose pinned queue may be served

    def join(self, joined: Joined) -> None:
        assert joined.worker not in self.workers, f"{joined.worker} joined twice"
        assert joined.slots >= 1, joined
        self.workers[joined.worker] = joined
        self.present.setdefault(joined.role, set()).add(joined.worker)
        self.free.setdefault(joined.role, {})[joined.worker] = joined.slots
        if joined.role == WORKER:
            self.known.add(joined.worker)
            self.idle.fresh.append(joined.worker)

    def leave(self, worker: str) -> list[Pending]:
        """Forgets a worker; returns the work pinned to it that never started."""
        assert worker not in self.busy, f"{worker} left with work that has no result"
        joined = self.workers.pop(worker)
        self.present[joined.role].discard(worker)
        self.free[joined.role].pop(worker, None)
        return list(self.pinned.pop(worker, ()))

    def put(self, pending: Pending, first: bool = False) -> None:
        """Queues work; one that is tried again goes first."""
        place = pending.work.place
        if place.worker != ANY:
            queue = self.pinned.setdefault(place.worker, deque())
            self._touched[place.worker] = None
        else:
            queue = self.waiting.setdefault(place.role, deque())
        if first:
            queue.appendleft(pending)
        else:
            queue.append(pending)

    def land(self, flight: Flight) -> None:
        """Takes work off a worker and frees its slot."""
        worker = flight.worker
        del self.flights[flight.work.id]
        flights = self.busy[worker]
        del flights[flight.work.id]
        if not flights:
            del self.busy[worker]
        joined = self.workers[worker]
        free = self.free[joined.role]
        free[worker] = free.get(worker, 0) + 1
        if joined.role == WORKER:
            self.idle.fresh.append(worker)
        if worker in self.pinned:
            self._touched[worker] = None

    def drop(self, work_ids: Set[int]) -> None:
        """Forgets queued work; O(queued)."""
        for queue in (*self.waiting.values(), *self.pinned.values()):
            if queue:
                kept = [item for item in queue if item.work.id not in work_ids]
                queue.clear()
                queue.extend(kept)

    def place(self, now_s: float) -> Sequence[Assignment]:
        """Gives queued work to free slots, pinned work first, then in order of ask."""
        given: list[Assignment] = []
        for worker in self._touched:
            queue = self.pinned.get(worker)
            while queue and self._free_slots(worker):
                given.append(self._give(queue.popleft(), worker, now_s))
            if not queue:
                self.pinned.pop(worker, None)
        self._touched.clear()
        for role, queue in self.waiting.items():
            free = self.free.get(role)
            if not queue or not free:
                continue
            skipped: list[Pending] = []
            while queue and free:
                pending = queue.popleft()
                worker = self._choose(pending, free)
                if worker == ANY:
                    skipped.append(pending)
                else:
                    given.append(self._give(pending, worker, now_s))
            queue.extendleft(reversed(skipped))
        return given

    def absent(self) -> Set[str]:
        """Workers of role "worker" that were there and have left. O(1) while there are none."""
        return self.known - self.present[WORKER] if len(self.known) > len(self.present[WORKER]) else frozenset()

    def outstanding(self) -> list[Assignment]:
        return [Assignment(flight.work, flight.worker, flight.attempt) for flight in self.flights.values()]

    def queued(self) -> Iterator[Pending]:
        for queue in (*self.waiting.values(), *self.pinned.values()):
            yield from queue

    def state_dict(self) -> dict[str, Any]:
        """JSON once msgspec has unpacked the records; the order of `free` decides who gets what next."""
        return {
            "workers": list(self.workers.values()),
            "known": sorted(self.known),
            "flights": list(self.flights.values()),
            "free": self.free,
            "pinned": {worker: list(queue) for worker, queue in self.pinned.items()},
            "waiting": {role: list(queue) for role, queue in self.waiting.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for joined in msgspec.convert(state["workers"], list[Joined]):
            self.join(joined)
        self.known = set(state["known"])
        for flight in msgspec.convert(state["flights"], list[Flight]):
            self.flights[flight.work.id] = flight
            self.busy.setdefault(flight.worker, {})[flight.work.id] = flight
        for role, free in state["free"].items():
            self.free.setdefault(role, {}).clear()
            self.free[role].update(free)
        for worker, queue in state["pinned"].items():
            self.pinned[worker] = deque(msgspec.convert(queue, list[Pending]))
        for role, queue in state["waiting"].items():
            self.waiting[role] = deque(msgspec.convert(queue, list[Pending]))
        self.idle.fresh.clear()

    def _free_slots(self, worker: str) -> int:
        return self.free[self.workers[worker].role].get(worker, 0)

    def _choose(self, pending: Pending, free: dict[str, int]) -> str:
        place = pending.work.place
        if place.prefer in free and place.prefer != pending.avoid:
            return place.prefer
        for worker in free:
            if worker != pending.avoid or len(self.present[place.role]) == 1:
                return worker
        return ANY

    def _give(self, pending: Pending, worker: str, now_s: float) -> Assignment:
        work = pending.work
        flight = Flight(work, worker, pending.attempt, pending.history, now_s)
        self.flights[work.id] = flight
        self.busy.setdefault(worker, {})[work.id] = flight
        free = self.free[self.workers[worker].role]
        if free[worker] == 1:
            del free[worker]
        else:
            free[worker] -= 1
        return Assignment(work, worker, pending.attempt)
