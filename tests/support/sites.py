"""Sites on loopback: an authority's folder, a server that lets its sites in, and what they dial with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
