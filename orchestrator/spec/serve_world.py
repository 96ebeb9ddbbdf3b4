"""What `serve` names outside the spec: an address, certificates, and names that a certificate can carry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, complaint


def serve_world(spec: Spec) -> Iterator[Complaint]:
    """Whether the server can speak to sites at all; whether it can listen there is seen when it does."""
    from cluster.certificates import CertificateInvalid, load_server
    from cluster.certificates.names import name_problem
    from cluster.sessions.address import Address, AddressInvalid

    serve = spec.serve
    if serve is None:
        return
    for name in serve.sites:
        if why := name_problem(name):
            yield Complaint((("serve", "sites"),), f"serve.sites: {why}.")
    if not serve.address:
        return
    try:
        address = Address.from_text(serve.address)
        load_server(Path(serve.certificates) / "server", address.host)
    except AddressInvalid as error:
        yield Complaint((("serve", "address"),), f"serve.address: {error}.")
    except CertificateInvalid as error:
        remedy = f"ripieno certs init {serve.certificates} --host HOST --site NAME makes what is missing"
        yield complaint(("serve", "certificates"), f"will not do: {error}. {remedy}.", ("serve", "address"))
