"""A TCP proxy that can be cut and healed, for what happens between hosts."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from threading import Lock, Thread

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class Proxy:
    """Listens on 127.0.0.1 and carries every connection to `target` (host:port). accepted: how many there were."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._lock = Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._cut = False
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Resets all connections, and every new one, until `heal`."""
        with self._lock:
            self._cut = True
            for pair in self._pairs:
                for end in pair:
                    _reset(end)
            self._pairs.clear()

    def heal(self) -> None:
        with self._lock:
            self._cut = False

    def close(self) -> None:
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
                        continue
                    far = socket.create_connection(self._target)
                    self._pairs.append((near, far))
                for one, other in ((near, far), (far, near)):
                    Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.shutdown(socket.SHUT_RDWR)
        end.close()
