"""What a server or a site shows to the other end, read from its folder and checked before anybody is dialled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cluster.certificates.errors import CertificateInvalid
from cluster.certificates.issue import Pair, host_name
from cluster.certificates.names import SITE, sites_of

AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.pem", "cert.pem", "key.pem"


@dataclass(frozen=True, slots=True)
class Identity:
    """One end's key and certificate, and the authority that it trusts, in files; the certificate's last second.

    name: the site's, or the first of the server's hosts.
    """

    name: str
    folder: Path
    valid_until: datetime

    @property
    def authority_file(self) -> Path:
        return self.folder / AUTHORITY_FILE

    @property
    def certificate_file(self) -> Path:
        return self.folder / CERTIFICATE_FILE

    @property
    def key_file(self) -> Path:
        return self.folder / KEY_FILE


def load_site(folder: Path) -> Identity:
    """A site's folder, as `init` has made it. Raises CertificateInvalid."""
    pair = _checked(folder)
    sites = sites_of(_names(pair.certificate).get_values_for_type(x509.UniformResourceIdentifier))
    if len(sites) != 1:
        raise CertificateInvalid(
            str(folder / CERTIFICATE_FILE), f"is no site's: it has no name {SITE}…; take a site's own folder"
        )
    return Identity(sites[0], folder, pair.certificate.not_valid_after_utc)


def load_server(folder: Path, host: str) -> Identity:
    """A server's folder, as `init` has made it. host: that it listens on; "0.0.0.0" or "::" stand for any.

    Raises CertificateInvalid.
    """
    pair = _checked(folder)
    names = hosts_of(pair.certificate)
    if not names:
        raise CertificateInvalid(str(folder / CERTIFICATE_FILE), "is no server's; take the folder called server")
    if host not in ("", "0.0.0.0", "::") and host_name(host) not in names:
        raise CertificateInvalid(
            str(folder / CERTIFICATE_FILE),
            f"is made out to {hosts_text(names)} and not to {host}, so no site would trust it there",
        )
    return Identity(hosts_text(names[:1]), folder, pair.certificate.not_valid_after_utc)


def hosts_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    """What a server's certificate is made out to."""
    return [name for name in _names(certificate) if isinstance(name, x509.DNSName | x509.IPAddress)]


def hosts_text(names: list[x509.GeneralName]) -> str:
    return ", ".join(str(name.value) for name in names)


def read_pair(certificate_file: Path, key_file: Path) -> Pair:
    """A key with its certificate. Raises CertificateInvalid."""
    certificate = read_certificate(certificate_file)
    try:
        key = load_pem_private_key(_read(key_file), password=None)
    except (ValueError, TypeError) as error:
        raise CertificateInvalid(str(key_file), f"holds no private key without a password ({error})") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise CertificateInvalid(str(key_file), f"is not the key of {certificate_file.name} beside it")
    return Pair(key, certificate)


def read_certificate(file: Path) -> x509.Certificate:
    """Raises CertificateInvalid."""
    try:
        return x509.load_pem_x509_certificate(_read(file))
    except ValueError as error:
        raise CertificateInvalid(str(file), f"holds no certificate ({error})") from error


def require_valid_now(certificate: x509.Certificate, file: Path) -> None:
    """Raises CertificateInvalid."""
    now = datetime.now(UTC)
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > last:
        raise CertificateInvalid(
            str(file), f"expired on {last:%Y-%m-%d}; remove it and its key, and run ripieno certs init again"
        )
    if now < first:
        raise CertificateInvalid(str(file), f"is valid from {first:%Y-%m-%d} on; is this machine's clock right?")


def _checked(folder: Path) -> Pair:
    """The folder's key and certificate, which its authority vouches for today. Raises CertificateInvalid."""
    authority = read_certificate(folder / AUTHORITY_FILE)
    pair = read_pair(folder / CERTIFICATE_FILE, folder / KEY_FILE)
    require_valid_now(authority, folder / AUTHORITY_FILE)
    require_valid_now(pair.certificate, folder / CERTIFICATE_FILE)
    try:
        pair.certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        raise CertificateInvalid(
            str(folder / CERTIFICATE_FILE), f"was not made by the authority of {AUTHORITY_FILE} beside it"
        ) from None
    return pair


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CertificateInvalid(str(file), f"cannot be read ({error.strerror or error})") from None
