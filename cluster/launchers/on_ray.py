"""Members as Ray actors, one long call each: Ray places them and watches them, and carries none of their work."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from threading import Event, Thread
from typing import Any, NamedTuple

import ray
import structlog
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.entry import call
from cluster.launchers.connection import connected
from cluster.launchers.errors import ClusterBusy
from cluster.launchers.member import Member, Needs, Restarts, Watcher

READY_S = 60.0
"""How long the members' resources may take to become free, all at once."""

LOOK_S = 0.5
"""How often the watching thread looks up from waiting."""

CLOSE_S = 2.0
"""How long members may take to end by themselves before they are killed."""

log = structlog.get_logger(__name__)


class Host:
    """The actor: runs one entry until it returns."""

    def run(self, entry: str, argument: str, path: Sequence[str]) -> None:
        call(entry, argument, path)


class Place(NamedTuple):
    """A member with its bundle of the placement group."""

    member: Member
    bundle: int
    restarts: Restarts


class Running(NamedTuple):
    place: Place
    actor: Any
    started_s: float


class RayLauncher:
    """Starts members on a Ray cluster, in one placement group: all of them or none.

    A SIGKILLed member is noticed within 0.02 s. A dead node is as soon as Ray says so, and its members are started
    again when their bundles are placed elsewhere. Ray ends all members when this process ends, however it ends.

    address: host:port of the cluster, or "auto"; None: a Ray of our own on this machine, where CPUs are only counted.
    Raises, from `start`:
        NoCluster. ClusterBusy: what is needed was not free within READY_S.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._closing = Event()
        self._stack = ExitStack()
        self._group: Any = None
        self._running: dict[Any, Running] = {}  # by the reference to its call
        self._due: list[tuple[float, Place]] = []  # restarts
        self._thread: Thread | None = None

    def start(self, members: Sequence[Member], watcher: Watcher) -> None:
        total = Needs(sum(member.needs.cpu for member in members), sum(member.needs.gpu for member in members))
        self._stack.enter_context(connected(self._address, cpus=math.ceil(total.cpu)))
        try:
            self._reserve(members, total)
            for bundle, member in enumerate(members):
                self._run(Place(member, bundle, Restarts()))
        except BaseException:
            self._stack.close()
            raise
        self._thread = Thread(target=self._watch, args=(watcher,), name="launcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(10 * LOOK_S)
            if self._running:
                ray.wait(list(self._running), num_returns=len(self._running), timeout=CLOSE_S)
            for running in self._running.values():
                ray.kill(running.actor)
            self._thread = None
        self._stack.close()

    def _reserve(self, members: Sequence[Member], total: Needs) -> None:
        self._group = placement_group([_bundle(member.needs) for member in members], strategy="PACK")
        self._stack.callback(remove_placement_group, self._group)
        if not self._group.wait(READY_S):
            raise ClusterBusy(str(total), READY_S)

    def _run(self, place: Place) -> None:
        member, bundle, _ = place
        actor = (
            ray.remote(Host)
            .options(
                num_cpus=member.needs.cpu,
                num_gpus=member.needs.gpu,
                scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, bundle),
                runtime_env={"env_vars": dict(member.environment)},
            )
            .remote()
        )
        call_ref = actor.run.remote(member.entry, member.argument, list(sys.path))
        self._running[call_ref] = Running(place, actor, time.monotonic())

    def _watch(self, watcher: Watcher) -> None:
        while not self._closing.is_set():
            if self._running:
                ended, _ = ray.wait(list(self._running), num_returns=1, timeout=LOOK_S)
            else:
                ended = []
                self._closing.wait(LOOK_S)
            for call_ref in ended:
                if not self._closing.is_set():
                    self._ended(call_ref, watcher)
            now_s = time.monotonic()
            for due_s, place in list(self._due):
                if due_s <= now_s:
                    self._due.remove((due_s, place))
                    self._run(place)

    def _ended(self, call_ref: Any, watcher: Watcher) -> None:
        place, actor, started_s = self._running.pop(call_ref)
        ray.kill(actor)  # where only the call ended, the process goes too
        reason = _why_it_died(call_ref)
        if not reason:
            return
        watcher.died(place.member.name, reason)
        pause_s = place.restarts.pause_s(time.monotonic() - started_s)
        if pause_s is None:
            log.error("member_given_up", member=place.member.name, reason=reason)
        else:
            log.warning("member_restarted", member=place.member.name, reason=reason)
            self._due.append((time.monotonic() + pause_s, place))


def _bundle(needs: Needs) -> dict[str, float]:
    return {"CPU": needs.cpu} | ({"GPU": needs.gpu} if needs.gpu else {})


def _why_it_died(call_ref: Any) -> str:
    """In one line; "" if the call returned."""
    try:
        ray.get(call_ref)
    except ray.exceptions.RayTaskError as error:
        return f"ended with {error.cause!r}"
    except ray.exceptions.RayError as error:
        return f"ended: {' '.join(str(error).split())}"
    return ""
