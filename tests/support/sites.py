"""Sites on loopback: an authority's folder, a server that lets its sites in, and what they dial with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc

from cluster.certificates import init, load_server, load_site
from cluster.sessions import Address, Door, Sites, site_door

HOST = "127.0.0.1"


def authority(folder: Path, *names: str, days: int = 365) -> Path:
    """A new authority's folder, with a server on this host and sites of these names."""
    init(folder, [HOST], names, days)
    return folder


def listed(folder: Path, *names: str, **options: Any) -> Sites:
    """Sites of these names may dial in to a server of this authority, at a port that is free."""
    return Sites(Address(HOST, 0), load_server(folder / "server", HOST), frozenset(names), **options)


def door_of(folder: Path, name: str, address: str, memory: Path) -> Door:
    """What the site of this name dials with. memory: where its own values lie."""
    return site_door(Address.from_text(address), load_site(folder / f"site-{name}"), memory)


def channel_of(address: str, root: Path, shown: Path | None, *options: tuple[str, str | int]) -> grpc.Channel:
    """Trusts the authority in the folder `root`, shows the certificate in the folder `shown`; None: shows none."""
    pair = (None, None) if shown is None else ((shown / "key.pem").read_bytes(), (shown / "cert.pem").read_bytes())
    credentials = grpc.ssl_channel_credentials((root / "ca.pem").read_bytes(), *pair)
    return grpc.secure_channel(address, credentials, [("grpc.use_local_subchannel_pool", 1), *options])
