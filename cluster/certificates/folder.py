"""The folder of an authority: its own key, the server's folder, and one folder a site to hand over.

FOLDER/ca.pem, ca-key.pem                      the authority; its key is needed to add sites, and nowhere else
FOLDER/server/{ca,cert,key}.pem                for the machine that serves
FOLDER/site-NAME/{ca,cert,key}.pem             for a site, and for nobody else
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cluster.certificates.errors import CertificateInvalid
from cluster.certificates.identity import (
    AUTHORITY_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    hosts_of,
    hosts_text,
    read_certificate,
    read_pair,
    require_valid_now,
)
from cluster.certificates.issue import LEAF_DAYS, Pair, host_name, issue_server, issue_site, make_authority
from cluster.certificates.names import host_problem, name_problem

AUTHORITY_KEY_FILE = "ca-key.pem"
SERVER, SITE_PREFIX = "server", "site-"


class Made(NamedTuple):
    """Folders that were not there before, and those that were left as they are."""

    new: tuple[Path, ...]
    kept: tuple[Path, ...]


def init(folder: Path, hosts: Sequence[str], sites: Sequence[str], days: int = LEAF_DAYS) -> Made:
    """Makes what is missing in an authority's folder; nothing that is there is ever written over.

    hosts: names or addresses that sites reach the server by; may be empty where the server has its folder already.
    sites: see `names.NAME`. days: how long new certificates are valid.
    All files are for their owner alone (600), and appear whole: a folder is made aside and renamed.
    Raises:
        CertificateInvalid: a site or a host cannot be called so, the authority's key is not there, or the server's
            certificate is made out to other hosts. Nothing is made then. OSError: the folder cannot be written.
    """
    for problem in filter(None, [*map(name_problem, sites), *map(host_problem, hosts)]):
        raise CertificateInvalid(str(folder), problem)
    server = folder / SERVER
    if server.exists():
        _require_hosts(server / CERTIFICATE_FILE, hosts)
    elif not hosts:
        raise CertificateInvalid(str(server), "is not there, and no host is named that its certificate would be for")
    authority = _authority(folder)
    wanted: dict[Path, Callable[[], Pair]] = {server: partial(issue_server, authority, hosts, days)}
    wanted |= {folder / f"{SITE_PREFIX}{site}": partial(issue_site, authority, site, days) for site in sites}
    new = [path for path in wanted if not path.exists()]
    for path in new:
        _write_folder(path, wanted[path](), authority)
    return Made(tuple(new), tuple(path for path in wanted if path not in new))


def _authority(folder: Path) -> Pair:
    """The folder's authority; a new one if there is none yet."""
    certificate, key = folder / AUTHORITY_FILE, folder / AUTHORITY_KEY_FILE
    if certificate.exists() or key.exists():
        pair = read_pair(certificate, key)
        require_valid_now(pair.certificate, certificate)
        return pair
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pair = make_authority()
    _write(key, pair.key_pem)
    _write(certificate, pair.certificate_pem)
    return pair


def _write_folder(path: Path, pair: Pair, authority: Pair) -> None:
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    aside.mkdir(mode=0o700)
    try:
        _write(aside / AUTHORITY_FILE, authority.certificate_pem)
        _write(aside / CERTIFICATE_FILE, pair.certificate_pem)
        _write(aside / KEY_FILE, pair.key_pem)
        aside.rename(path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _write(file: Path, data: bytes) -> None:
    """A new file that nobody else may read, from its first byte on."""
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:  # noqa: PTH123 (a descriptor)
        out.write(data)


def _require_hosts(file: Path, hosts: Sequence[str]) -> None:
    there = hosts_of(read_certificate(file))
    others = [host for host in hosts if host_name(host) not in there]
    if others:
        raise CertificateInvalid(
            str(file),
            f"is made out to {hosts_text(there)} and not to {', '.join(others)}; to have it made anew for all of them, "
            f"remove {file.parent} and name them all",
        )
