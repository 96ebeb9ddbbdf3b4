"""How sites and hosts are called, and how a certificate says which site it is for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

SITE = "ripieno://site/"

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""As a label of a host's name: it becomes a folder, a log's field and a part of a URI."""

HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def site_uri(name: str) -> str:
    """What a site's certificate carries as its subject's alternative name."""
    return f"{SITE}{name}"


def sites_of(uris: Iterable[str]) -> tuple[str, ...]:
    """The sites that a certificate with these URIs speaks for: one, or it is none of ours."""
    return tuple(uri.removeprefix(SITE) for uri in uris if uri.startswith(SITE))


def name_problem(name: str) -> str:
    """Why a site cannot be called so, as a clause; "" if it can."""
    if NAME.fullmatch(name):
        return ""
    return f"{name!r} cannot name a site; allowed are 1 to 63 of a-z, 0-9 and '-', and no '-' at an end"


def host_problem(host: str) -> str:
    """Why no certificate can be made out to a host of this name or address, as a clause; "" if one can."""
    try:
        ip_address(host)
    except ValueError:
        if not HOST.fullmatch(host):
            return f"{host!r} cannot name a host; give a name or an address, without a port"
    return ""
