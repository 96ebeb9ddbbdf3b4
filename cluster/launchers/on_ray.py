"""Members as Ray actors, one long call each: Ray places them and watches them, and carries none of their work."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, NamedTuple

import ray
import structlog

from cluster.entry import call
from cluster.launchers.connection import connected
from cluster.launchers.errors import ClusterBusy
from cluster.launchers.member import Member, Needs, Restarts, Watcher
from cluster.launchers.nodes import Node, answers, own_node
from cluster.launchers.reservation import Reservation

READY_S = 60.0
"""How long the resources of needed members may take to become free, all at once."""

LOOK_S = 0.5
"""How often the watching thread looks up from waiting."""

YIELD_S = 2.0
"""How long needed members look for room, after their node went, before another member makes some."""

CLOSE_S = 2.0
"""How long members may take to end by themselves before they are killed."""

log = structlog.get_logger(__name__)


class Host:
    """The actor: says where it is, then runs one entry until it returns."""

    def node(self) -> Node:
        return own_node()

    def run(self, entry: str, argument: str, path: Sequence[str]) -> None:
        call(entry, argument, path)


@dataclass(slots=True)
class Place:
    """A member with its bundle of a reservation."""

    member: Member
    reservation: Reservation
    bundle: int
    restarts: Restarts = field(default_factory=Restarts)


class Running(NamedTuple):
    """Or about to: `node`, a reference, is there as soon as the process is."""

    place: Place
    actor: Any
    node: Any
    started_s: float


class RayLauncher:
    """Starts members on a Ray cluster: those that are needed in one placement group, all of them or none; each other
    one in a placement group of its own, which waits for room, of nodes to come too.

    A SIGKILLed member is noticed within 0.02 s. A dead node is as soon as Ray says so, and its members are started
    again where there is room; while there is none for needed ones, others make it. Ray ends all members when this
    process ends, however it ends.

    address: host:port of the cluster, or "auto"; None: a Ray of our own on this machine, where CPUs are only counted.
    Raises, from `start`:
        NoCluster. ClusterBusy: what is needed was not free within READY_S.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._closing = Event()
        self._stack = ExitStack()
        self._running: dict[Any, Running] = {}  # by the reference to its call
        self._nodes: dict[str, Node] = {}  # of members that have died, the latest
        self._due: list[tuple[float, Place]] = []  # restarts
        self._awaited: list[Running] = []  # needed, and not known to be up
        self._short_since: float | None = None  # of needed members whose node went and that find no other
        self._thread: Thread | None = None

    def start(self, members: Sequence[Member], watcher: Watcher) -> None:
        cpus = sum(member.needs.cpu for member in members)
        self._stack.enter_context(connected(self._address, cpus=math.ceil(cpus)))
        try:
            needed = [member for member in members if member.needed]
            self._gang = self._reserve([member.needs for member in needed])
            if not self._gang.wait(READY_S):
                raise ClusterBusy(str(_total(needed)), READY_S)
            for bundle, member in enumerate(needed):
                self._run(Place(member, self._gang, bundle))
            for member in members:
                if not member.needed:
                    self._run(Place(member, self._reserve([member.needs]), 0))
        except BaseException:
            self._stack.close()
            raise
        self._thread = Thread(target=self._watch, args=(watcher,), name="launcher", daemon=True)
        self._thread.start()

    def end(self, member: str) -> None:
        for running in self._running_as(member):
            ray.kill(running.actor)

    def lost_node(self, member: str) -> bool:
        nodes = [_node_of(running) for running in self._running_as(member)]
        node = next(filter(None, nodes), None) or self._nodes.get(member)
        return node is not None and not answers(node)

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(10 * LOOK_S)
            if up := [call_ref for call_ref, running in self._running.items() if _node_of(running)]:
                ray.wait(up, num_returns=len(up), timeout=CLOSE_S)
            for running in self._running.values():
                ray.kill(running.actor)
            self._thread = None
        self._stack.close()

    def _reserve(self, needs: Sequence[Needs]) -> Reservation:
        reservation = Reservation(needs)
        self._stack.callback(reservation.close)
        return reservation

    def _run(self, place: Place) -> None:
        member = place.member
        actor = (
            ray.remote(Host)
            .options(
                num_cpus=member.needs.cpu,
                num_gpus=member.needs.gpu,
                scheduling_strategy=place.reservation.strategy(place.bundle),
                runtime_env={"env_vars": dict(member.environment)},
            )
            .remote()
        )
        node = actor.node.remote()
        call_ref = actor.run.remote(member.entry, member.argument, list(sys.path))
        self._running[call_ref] = running = Running(place, actor, node, time.monotonic())
        if member.needed:
            self._awaited.append(running)

    def _running_as(self, member: str) -> list[Running]:
        """None or one."""
        return [running for running in list(self._running.values()) if running.place.member.name == member]

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
            self._make_room(watcher)
            now_s = time.monotonic()
            for due_s, place in list(self._due):
                if due_s <= now_s and (place.member.needed or self._short_since is None):
                    self._due.remove((due_s, place))
                    self._run(place)

    def _ended(self, call_ref: Any, watcher: Watcher) -> None:
        running = self._running.pop(call_ref)
        place, name = running.place, running.place.member.name
        ray.kill(running.actor)  # where only the call ended, the process goes too
        reason = _why_it_died(call_ref)
        if not reason:
            return
        node = _node_of(running)
        if node is not None:
            self._nodes[name] = node
            if not answers(node):
                reason, place.restarts = f"was on node {node}, which is gone", Restarts()
        watcher.died(name, reason)
        pause_s = place.restarts.pause_s(time.monotonic() - running.started_s)
        if pause_s is None:
            log.error("member_given_up", member=name, reason=reason)
        else:
            log.warning("member_restarted", member=name, reason=reason)
            self._due.append((time.monotonic() + pause_s, place))

    def _make_room(self, watcher: Watcher) -> None:
        """While needed members find no node, ends another member every YIELD_S; that one then waits for room anew."""
        self._awaited = [running for running in self._awaited if _node_of(running) is None]
        if not self._awaited or not self._gang.homeless():
            self._short_since = None
            return
        now_s = time.monotonic()
        self._short_since = self._short_since or now_s
        others = [item for item in self._running.items() if not item[1].place.member.needed and _node_of(item[1])]
        if not others or now_s - self._short_since < YIELD_S:
            return
        self._short_since = now_s
        call_ref, running = others[-1]
        place, name = running.place, running.place.member.name
        del self._running[call_ref]
        ray.kill(running.actor)
        place.reservation.close()
        place.reservation = self._reserve([place.member.needs])
        watcher.died(name, "made room for what is needed more")
        self._due.append((now_s, place))


def _total(members: Sequence[Member]) -> Needs:
    return Needs(sum(member.needs.cpu for member in members), sum(member.needs.gpu for member in members))


def _node_of(running: Running) -> Node | None:
    """None while its process is not up."""
    try:
        node: Node = ray.get(running.node, timeout=0)
    except ray.exceptions.RayError:
        return None
    return node


def _why_it_died(call_ref: Any) -> str:
    """In one line; "" if the call returned."""
    try:
        ray.get(call_ref)
    except ray.exceptions.RayTaskError as error:
        return f"ended with {error.cause!r}"
    except ray.exceptions.RayError as error:
        return f"ended: {' '.join(str(error).split())}"
    return ""
