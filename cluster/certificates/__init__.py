"""Who is who between hosts: an authority of one's own, and what it gives the server and each site."""

from cluster.certificates.errors import CertificateInvalid
from cluster.certificates.folder import Made, init
from cluster.certificates.identity import Identity, load_server, load_site
from cluster.certificates.names import site_uri, sites_of

__all__ = ["CertificateInvalid", "Identity", "Made", "init", "load_server", "load_site", "site_uri", "sites_of"]
