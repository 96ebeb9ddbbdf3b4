"""Sites: workers that nobody launched, known by their certificates, and trusted with their own work only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.certificates import Identity
from cluster.sessions.address import Address
from cluster.sessions.door import Door
from protos import ripieno_pb2 as pb

GRACE_S = 30.0
"""How long a site behind a broken stream is waited for. A new process of its name ends the wait."""

HEARTBEAT_S = 10.0
"""Between pings of server and sites, at least: the other end may be far away, and the gate waits for Python's lock.
Signs of life are as frequent as the server says."""

LABELS_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Sites:
    """Who may dial in to a run from anywhere, where, and what they are told.

    names: the list; another site is turned away, however good its certificate. settings: JSON, for who does the work.
    role: of the work that sites do; they are not trusted with any other.
    """

    address: Address
    identity: Identity
    names: frozenset[str]
    settings: bytes = b"{}"
    role: str = "worker"
    grace_s: float = GRACE_S

    def objection(self, site: str, hello: pb.Hello) -> str:
        """Why the site that this certificate is of may not come in with this Hello; "" if it may."""
        if hello.worker != site:
            return f"its certificate is of site {site!r}, and it calls itself {hello.worker!r}"
        if site not in self.names:
            return f"site {site!r} is not on the list of this run"
        if hello.role != self.role:
            return f"a site does work of role {self.role!r}, and it offers {hello.role!r}"
        if hello.slots != 1:
            return f"a site takes one piece of work at a time, and it offers {hello.slots} slots"
        if sum(len(key) + len(value) for key, value in hello.labels.items()) > LABELS_BYTES:
            return f"its labels are longer than {LABELS_BYTES} bytes"
        return ""


def site_door(address: Address, identity: Identity, memory: Path) -> Door:
    """What a site knows of a server before it dials. memory: how the folder of its own values shall begin."""
    return Door(
        run="",
        secret="",
        socket="",
        folder=str(memory),
        address=str(address),
        certificate=identity.authority_file.read_text(),
        heartbeat_s=HEARTBEAT_S,
        own_key=identity.key_file.read_text(),
        own_certificate=identity.certificate_file.read_text(),
    )
