"""Keys and certificates, made in memory: an authority, and the leaves that it vouches for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import NamedTuple, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.certificates.names import site_uri

AUTHORITY_DAYS = 3650
LEAF_DAYS = 365
BACKDATED = timedelta(days=1)
"""Certificates count from yesterday: clocks differ."""

Names: TypeAlias = Sequence[x509.GeneralName]
Usage: TypeAlias = x509.ObjectIdentifier

SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
SPEAKS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


class Pair(NamedTuple):
    """A private key (elliptic, P-256) and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def make_authority(days: int = AUTHORITY_DAYS) -> Pair:
    """A new authority, which can vouch for leaves and for no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("ripieno authority")
    builder = (
        _builder(name, name, key, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(SIGNS, critical=True)
    )
    return Pair(key, builder.sign(key, hashes.SHA256()))


def issue_server(authority: Pair, hosts: Sequence[str], days: int = LEAF_DAYS) -> Pair:
    """For a server that sites reach by these names or addresses, at least one; it cannot speak as a site."""
    names = [host_name(host) for host in hosts]
    return _leaf(authority, hosts[0], names, ExtendedKeyUsageOID.SERVER_AUTH, days)


def issue_site(authority: Pair, site: str, days: int = LEAF_DAYS) -> Pair:
    """For the site of this name; it cannot speak as a server."""
    names = [x509.UniformResourceIdentifier(site_uri(site))]
    return _leaf(authority, site, names, ExtendedKeyUsageOID.CLIENT_AUTH, days)


def host_name(host: str) -> x509.GeneralName:
    """An address as an address, anything else as a name: a client compares like with like."""
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _leaf(authority: Pair, name: str, names: Names, usage: Usage, days: int) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(name), authority.certificate.subject, key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(SPEAKS, critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    return Pair(key, builder.sign(authority.key, hashes.SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    """days: how long it is valid, from now on; negative ones have passed."""
    now = datetime.now(UTC)
    ends = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, ends) - BACKDATED)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])
