"""Hosts on one machine: network namespaces, each with a /dev/shm of its own, wired to the engine's. Needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

ENGINE = "10.77.1.1"
"""The engine's address, for all of them."""


def may_make_hosts() -> bool:
    """Whether this process may make namespaces; asks by making one."""
    probe = ["unshare", "--net", "--mount", "ip", "link", "add", "va", "type", "veth", "peer", "name", "vb"]
    try:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class Hosts:
    """The engine's and so many others, gone when this is left."""

    def __init__(self, others: int) -> None:
        self._mark = f"r{os.getpid() % 100_000}"
        self._others = range(1, others + 1)
        self._stack = ExitStack()
        self._keepers: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            _make_namespace(self._net(0), stack)
            for number in self._others:
                _make_namespace(self._net(number), stack)
                self._wire(number)
                self._keepers[number] = self._keep(number, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def engines(self) -> Sequence[str]:
        """What a command begins with that is to run on the engine's host."""
        return ["ip", "netns", "exec", self._net(0)]

    def on(self, number: int) -> Sequence[str]:
        """The same, of another host; they count from 1."""
        return ["nsenter", "--target", str(self._keepers[number].pid), "--net", "--mount"]

    def cut(self, number: int) -> None:
        """Pulls its cable: nothing gets through, and nobody is told."""
        _ip("-n", self._net(number), "link", "set", "eth", "down")

    def heal(self, number: int) -> None:
        _ip("-n", self._net(number), "link", "set", "eth", "up")
        _ip("-n", self._net(number), "route", "add", "default", "via", f"10.77.{number}.1")

    def shared_memory(self, number: int) -> list[str]:
        """What lies in its /dev/shm."""
        listed = subprocess.run([*self.on(number), "ls", "-A", "/dev/shm"], capture_output=True, text=True, check=True)
        return listed.stdout.split()

    def _net(self, number: int) -> str:
        return f"{self._mark}-{number}"

    def _wire(self, number: int) -> None:
        ours, here, there = f"v{self._mark}-{number}", self._net(0), self._net(number)
        _ip("link", "add", ours, "netns", here, "type", "veth", "peer", "name", "eth", "netns", there)
        _ip("-n", here, "addr", "add", f"10.77.{number}.1/24", "dev", ours)
        _ip("-n", here, "link", "set", ours, "up")
        _ip("-n", there, "addr", "add", f"10.77.{number}.2/24", "dev", "eth")
        self.heal(number)

    def _keep(self, number: int, stack: ExitStack) -> subprocess.Popen[bytes]:
        """A process that holds the host's view of the file system: `ip netns exec` gives it one of its own."""
        ready = "mount -t tmpfs tmpfs /dev/shm && echo ready && exec sleep infinity"
        keeper = subprocess.Popen(["ip", "netns", "exec", self._net(number), "sh", "-c", ready], stdout=subprocess.PIPE)
        stack.callback(keeper.wait)
        stack.callback(keeper.kill)
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"ready\n"
        return keeper


def _make_namespace(name: str, stack: ExitStack) -> None:
    _ip("netns", "add", name)
    stack.callback(_ip, "netns", "del", name)
    _ip("-n", name, "link", "set", "lo", "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
