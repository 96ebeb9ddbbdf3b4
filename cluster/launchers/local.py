"""Members as child processes of this one: no Ray, up in a fraction of a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from threading import Event, Lock, Thread

import structlog

from cluster.launchers.member import Member, Restarts, Watcher

CLOSE_S = 2.0
"""How long members may take to end by themselves before they are killed."""

log = structlog.get_logger(__name__)


class LocalProcesses:
    """Starts each member as `python -m cluster.child`, which reads what to do from its standard input.

    A child ends when that pipe closes, so with this process, however it ends. What members need is not held to, so
    that there is room for all.
    """

    def __init__(self) -> None:
        self._closing = Event()
        self._lock = Lock()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._threads: list[Thread] = []

    def start(self, members: Sequence[Member], watcher: Watcher) -> None:
        self._threads = [Thread(target=self._keep, args=(member, watcher), daemon=True) for member in members]
        for thread in self._threads:
            thread.start()

    def pids(self) -> dict[str, int]:
        """Process id of each member that was started, the latest one."""
        with self._lock:
            return {name: child.pid for name, child in self._children.items()}

    def end(self, member: str) -> None:
        with self._lock:
            child = self._children.get(member)
        if child is not None:
            child.kill()

    def lost_node(self, member: str) -> bool:
        return False  # it would have taken this process along

    def close(self) -> None:
        self._closing.set()
        last_s = time.monotonic() + CLOSE_S
        with self._lock:
            children = list(self._children.values())
        for child in children:
            child.terminate()
        for child in children:
            try:
                child.wait(max(0.0, last_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
        for thread in self._threads:
            thread.join(CLOSE_S)

    def _keep(self, member: Member, watcher: Watcher) -> None:
        """One member's life, restarts included."""
        restarts = Restarts()
        while (child := self._spawn(member)) is not None:
            started_s = time.monotonic()
            status = child.wait()
            assert child.stdin is not None
            child.stdin.close()
            if self._closing.is_set() or status == 0:
                return
            reason = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
            watcher.died(member.name, reason)
            pause_s = restarts.pause_s(time.monotonic() - started_s)
            if pause_s is None:
                log.error("member_given_up", member=member.name, reason=reason)
                return
            log.warning("member_restarted", member=member.name, reason=reason)
            self._closing.wait(pause_s)

    def _spawn(self, member: Member) -> subprocess.Popen[bytes] | None:
        """The new child, told what to do; None once this is closing."""
        path = os.pathsep.join(filter(None, sys.path))
        with self._lock:
            if self._closing.is_set():
                return None
            child = subprocess.Popen(
                [sys.executable, "-m", "cluster.child"],
                stdin=subprocess.PIPE,
                env=os.environ | dict(member.environment) | {"PYTHONPATH": path},
            )
            self._children[member.name] = child
        assert child.stdin is not None
        child.stdin.write(json.dumps([member.entry, member.argument]).encode() + b"\n")
        child.stdin.flush()
        return child
