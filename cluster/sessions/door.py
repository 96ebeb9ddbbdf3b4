"""What a worker must know to be let in by an engine."""

import json
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Door:
    """Handed to workers by whoever starts them. Holds a secret: never on a command line, never in a log.

    socket: path of the unix socket, for workers of the engine's host. folder: the engine's folder of shared memory.
    address: host:port, or "" if no other host is served; certificate: PEM, of the TLS behind that address.
    heartbeat_s: > 0, seconds between signs of life.
    For a site, which finds the door by itself: run, secret and socket are "", folder begins the name of the site's own,
    certificate is the authority's, and own_key and own_certificate are what it shows, PEM.
    """

    run: str
    secret: str
    socket: str
    folder: str
    address: str = ""
    certificate: str = ""
    heartbeat_s: float = 2.0
    own_key: str = ""
    own_certificate: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def __repr__(self) -> str:
        return f"Door(run={self.run!r}, socket={self.socket!r}, address={self.address!r})"


class Refused(Exception):
    """The engine does not let this worker in, and would not if it came again. worker, reason."""

    def __init__(self, worker: str, reason: str) -> None:
        super().__init__(worker, reason)
        self.worker, self.reason = worker, reason

    def __str__(self) -> str:
        return f"worker {self.worker} was turned away: {self.reason}"
