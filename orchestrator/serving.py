"""From a spec to the sites that may dial in to its run, and where."""

from __future__ import annotations

from pathlib import Path

from cluster.certificates import CertificateInvalid, load_server
from cluster.sessions import Address, AddressInvalid, Sites
from orchestrator.errors import NoPlace
from orchestrator.records import WORKER
from orchestrator.spec import Spec
from orchestrator.worker import Training


def sites_of(spec: Spec) -> Sites | None:
    """None: this run's workers are launched. Raises NoPlace: sites could not be told from others."""
    serve = spec.served
    if serve is None:
        return None
    try:
        address = Address.from_text(serve.address)
        identity = load_server(Path(serve.certificates) / "server", address.host)
    except (AddressInvalid, CertificateInvalid) as error:
        raise NoPlace(f"sites cannot be served: {error}") from error
    settings = Training(spec.task, spec.seed, spec.threads).for_sites()
    return Sites(address, identity, frozenset(serve.sites), settings, WORKER)


def not_listening(spec: Spec) -> str:
    """Why nobody can listen at the address of a run's sites, here and now, as a sentence; "" if that can be done."""
    serve = spec.served
    if serve is None:
        return ""
    try:
        Address.from_text(serve.address).listen().close()
    except AddressInvalid:
        return ""  # found elsewhere
    except OSError as error:
        return refused(serve.address, error)
    return ""


def refused(address: str, error: OSError) -> str:
    """That the system does not let us listen there."""
    reason = error.strerror or error
    return f"sites cannot dial in at {address}: {reason}. Is another run served there, or is it another machine's?"
