"""A TCP proxy that can be cut, stalled, slowed and healed, for what happens between hosts."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Lock, Thread

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s
REPLY_BYTES = 400
"""What a worker says at once and is longer than this holds a reply: signs of life are shorter."""

FAILURE = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Listens on 127.0.0.1 and carries every connection to `target` (host:port), healthy until told otherwise.

    target: where it is to be asked for at each connection, a function. accepted: how many connections there were.
    """

    def __init__(self, target: str | Callable[[], str]) -> None:
        self._target = target if callable(target) else lambda: target
        self._lock = Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._cut = self._failing = False
        self._flow = Condition()  # guards the three below
        self._stalled = False
        self._delay_s = 0.0
        self._doomed: bool | None = None  # the next reply: is it delivered before the connection breaks?
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Resets all connections, and every new one, until `heal`."""
        with self._lock:
            self._cut = True
        self._reset_all()

    def fail(self) -> None:
        """Answers every HTTP request with 500 until `heal`."""
        with self._lock:
            self._failing = True
        self._reset_all()

    def stall(self) -> None:
        """Nothing gets through, and nobody is told, until `heal`."""
        with self._flow:
            self._stalled = True

    def slow(self, delay_s: float) -> None:
        """Every piece takes so much longer, until `heal`."""
        with self._flow:
            self._delay_s = delay_s

    def break_reply(self, delivered: bool) -> None:
        """Resets the connection in the midst of the next reply, or after it and before anybody can say so."""
        with self._flow:
            self._doomed = delivered

    def heal(self) -> None:
        with self._lock:
            self._cut = self._failing = False
        with self._flow:
            self._stalled, self._delay_s = False, 0.0
            self._flow.notify_all()

    def close(self) -> None:
        self.heal()
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.accepted += 1
                with self._lock:
                    if self._cut:
                        _reset(near)
                    elif self._failing:
                        Thread(target=_refuse, args=(near,), daemon=True).start()
                    else:
                        self._carry(near)

    def _carry(self, near: socket.socket) -> None:
        try:
            host, _, port = self._target().rpartition(":")
            far = socket.create_connection((host, int(port)))
        except OSError:
            _reset(near)
            return
        self._pairs.append((near, far))
        for one, other, upwards in ((near, far, True), (far, near, False)):
            Thread(target=self._pump, args=(one, other, upwards), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, upwards: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                with self._flow:
                    self._flow.wait_for(lambda: self._stalled, self._delay_s)
                    self._flow.wait_for(lambda: not self._stalled)
                    doomed = self._doomed if upwards and len(data) > REPLY_BYTES else None
                    if doomed is not None:
                        self._doomed = None  # one is enough
                if doomed is not None:
                    sink.sendall(data if doomed else data[: len(data) // 2])
                    _reset(source)
                    break
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _reset_all(self) -> None:
        with self._lock:
            for pair in self._pairs:
                for end in pair:
                    _reset(end)
            self._pairs.clear()


def _refuse(near: socket.socket) -> None:
    with suppress(OSError), near:
        near.recv(1 << 16)
        near.sendall(FAILURE)


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.shutdown(socket.SHUT_RDWR)
        end.close()
