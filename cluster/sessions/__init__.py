"""One stream a worker: who is there, what it was given, what it answered, and values where no memory is shared.

Messages go as frames over a unix socket where worker and engine share memory, else by gRPC.
"""

from cluster.sessions.address import Address, AddressInvalid
from cluster.sessions.client import EngineGone, WorkerSession
from cluster.sessions.door import Door, Refused
from cluster.sessions.ledger import Given
from cluster.sessions.peer import Peer
from cluster.sessions.server import Listener, SessionServer
from cluster.sessions.sites import Sites, site_door

__all__ = [
    "Address",
    "AddressInvalid",
    "Door",
    "EngineGone",
    "Given",
    "Listener",
    "Peer",
    "Refused",
    "SessionServer",
    "Sites",
    "WorkerSession",
    "site_door",
]
