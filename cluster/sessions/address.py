"""host:port, as people write it."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from typing import Self


class AddressInvalid(Exception):
    """What was given is no host:port. given; problem: a clause."""

    def __init__(self, given: str, problem: str) -> None:
        super().__init__(given, problem)
        self.given, self.problem = given, problem

    def __str__(self) -> str:
        return f"{self.given!r} is no HOST:PORT: {self.problem}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody listens. port: 0 to 65535, 0: any that is free. An IPv6 address stands in brackets, as text."""

    host: str
    port: int

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Raises AddressInvalid."""
        host, colon, port = text.rpartition(":")
        if not colon or not host:
            raise AddressInvalid(text, "write it like engine.example:7000 or 127.0.0.1:7000")
        if not (port.isascii() and port.isdigit() and int(port) <= 65535):
            raise AddressInvalid(text, f"{port!r} is no port from 0 to 65535")
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            raise AddressInvalid(text, "write an IPv6 address in brackets, like [::1]:7000")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def with_port(self, port: int) -> Self:
        return replace(self, port=port)

    def listen(self) -> socket.socket:
        """A socket, not blocking, that listens here. Raises OSError."""
        (family, _, _, _, where), *_ = socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.create_server(where[:2], family=family, backlog=128)
        listener.setblocking(False)
        return listener

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
